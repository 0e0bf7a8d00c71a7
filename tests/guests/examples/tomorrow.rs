//! Built for a contract of the future.
#![allow(unsafe_code, reason = "generated")]
wit_bindgen::generate!({
    inline: "
        package flow:plugin@0.2.0;
        interface describe { describe: func() -> string; }
        world tomorrow { export describe; }
    ",
    world: "tomorrow",
});
struct Tomorrow;
impl exports::flow::plugin::describe::Guest for Tomorrow {
    fn describe() -> String {
        "tomorrow".into()
    }
}
export!(Tomorrow);
