//! Named crash points, for tests that kill the process at a chosen place.
//!
//! Only in builds with debug assertions: in a release build nothing of this exists.

/// Aborts the process if the environment variable `CREDITS_TEST_CRASH_AT` names this point.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("CREDITS_TEST_CRASH_AT").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
    let _ = name;
}

/// Aborts the process if the environment variable `CREDITS_TEST_CRASH_ON` is this message id.
pub fn on_message(id: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("CREDITS_TEST_CRASH_ON").is_ok_and(|wanted| wanted == id) {
        std::process::abort();
    }
    let _ = id;
}
