//! One suite for all brokers: what a consumer and a publisher mean does not depend on which it is.
//!
//! A broker takes part by implementing [`Bench`](bench::Bench) and a line in `suite!` below. Where
//! brokers differ by nature the bench says so in its [`Abilities`](bench::Abilities), and the case
//! asserts what is so in either case: a broker that gains or loses an ability fails until it says so.
//!
//! Not here: a full disk. It can't be arranged from outside alike: the embedded broker is filled in its
//! own tests (`src/embedded/tests/limits.rs`), Mosquitto confirms what it has in memory and dies of a
//! limit on file sizes (`SIGXFSZ`), and a small file system needs root to mount.

#![expect(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod amqp;
mod bench;
mod cuts;
mod embedded;
mod faults;
mod mqtt;
mod plain;
mod refusals;

/// Each case for one broker, as a test of its own; `grouped`, as far as they can share a server that
/// takes long to start, as one test, since a runner may give every test a process.
macro_rules! suite {
    ($how:ident $broker:ident: $bench:ty) => {
        mod $broker {
            suite!(@$how $bench, plain:
                messages_keep_their_order
                a_message_goes_to_each_queue_bound_for_it
                wildcards_select_as_a_topic_exchange_does
                a_message_that_several_bindings_select_comes_once
                what_is_not_acked_comes_again
                what_is_released_comes_again_at_once
                two_consumers_share_a_queue
                what_an_ended_consumer_held_is_not_lost
                prefetch_bounds_what_is_held
                an_empty_queue_gives_nothing_at_once
                ready_wakes_for_a_post
                depth_is_told_where_it_is_known
                a_repeated_key_is_a_duplicate_where_keys_are_remembered
                a_body_that_is_no_message_is_an_error_with_a_key
                a_large_message_passes
                a_queue_that_is_declared_misses_nothing
                a_deleted_queue_is_declared_again
            );
            suite!(@each $bench, faults:
                what_was_confirmed_survives_a_kill
                acks_survive_a_restart
                queues_take_posts_right_after_a_restart
                posts_wait_for_consumers_to_come_back_after_a_restart
                nothing_is_lost_over_restarts
                a_broker_that_is_away_is_temporary
            );
            suite!(@$how $bench, cuts:
                nothing_is_lost_when_the_connection_is_cut_while_posting
                nothing_is_lost_when_the_connection_is_cut_while_consuming
            );
            suite!(@$how $bench, refusals:
                a_wrong_password_is_about_credentials
                what_is_not_permitted_is_about_credentials
                names_no_broker_can_carry_are_refused
            );
        }
    };
    (@each $bench:ty, $module:ident: $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case::<$bench>().await;
            }
        )+
    };
    (@grouped $bench:ty, $module:ident: $($case:ident)+) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $module() {
            $(
                eprintln!("{}", stringify!($case));
                crate::$module::$case::<$bench>().await;
            )+
        }
    };
}

suite!(grouped on_amqp: crate::amqp::Amqp);
suite!(each on_embedded: crate::embedded::Embedded);
suite!(each on_mqtt: crate::mqtt::Mqtt);
