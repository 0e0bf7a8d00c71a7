//! What a broker says no to, and how that is told.

use flow_broker::embedded::Declaration;
use flow_runtime::ports::Failure;

use crate::bench::{Bench, Who, everything, outgoing, post, soon, take};

pub(crate) async fn a_wrong_password_is_about_credentials<B: Bench>() {
    if !B::ABILITIES.users {
        return;
    }
    let bench = B::start().await;
    let Err(failure) = bench.consumer_as(Who::Impostor, &everything()).await else {
        panic!("an impostor may consume");
    };
    assert!(matches!(&failure, Failure::Auth(_)), "{failure:?}");
    assert!(!failure.to_string().contains("wrong"), "{failure}");
    let failure = match bench.publisher_as(Who::Impostor, "x").await {
        Ok(mut publisher) => publisher.post(&[outgoing("a")]).await.unwrap_err(),
        Err(failure) => failure,
    };
    assert!(matches!(&failure, Failure::Auth(_)), "{failure:?}");
}

pub(crate) async fn what_is_not_permitted_is_about_credentials<B: Bench>() {
    if !B::ABILITIES.users {
        return;
    }
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher_as(Who::Guest, "x").await.unwrap();
    for _ in 0..2 {
        let failure = soon("a refusal", publisher.post(&[outgoing("a")]))
            .await
            .unwrap_err();
        assert!(matches!(&failure, Failure::Auth(_)), "{failure:?}");
    }
    // Others are not disturbed by that.
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &[outgoing("b")]).await;
    let received = take(&mut *consumer, 1).await;
    assert_eq!(received[0].message.as_ref().unwrap().rel_path, "b");
}

pub(crate) async fn names_no_broker_can_carry_are_refused<B: Bench>() {
    let bench = B::start().await;
    let long = "n".repeat(256);
    for queue in ["", long.as_str()] {
        let result = bench.declare(&Declaration::new(queue, "x", ["#"])).await;
        assert!(matches!(result, Err(Failure::Config(_))), "{result:?}");
    }
    let result = bench.publisher(&long).await;
    assert!(matches!(result.err(), Some(Failure::Config(_))));
}
