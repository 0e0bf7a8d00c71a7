//! Random operations on both, compared after each.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::model::Model;
use super::ops;
use super::real::Real;

proptest! {
    #![proptest_config(Config { cases: 96, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_store_does_what_the_model_does(ops in vec(ops(), 1..80)) {
        let directory = tempfile::tempdir().unwrap();
        let mut real = Real::open(&directory.path().join("broker.db"), false);
        let mut model = Model::default();
        for (step, op) in ops.iter().enumerate() {
            let expected = model.apply(op);
            prop_assert_eq!(real.apply(op), expected, "step {}: {:?}", step, op);
            prop_assert_eq!(real.view(), model.view(), "after step {}: {:?}", step, op);
        }
    }
}
