//! Panics of the code under test, caught: a violation like any other.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in [`catch`], where a panic is a result and not an accident.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// What the last caught panic said, and where it was.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; if it panics, says what and where. Nothing is printed then.
pub(crate) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let inherited = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let payload = info.payload();
                let text = payload.downcast_ref::<&str>().copied();
                let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                let said = text.unwrap_or("a panic without a text");
                let location = info.location().map_or(String::new(), |at| format!(" ({at})"));
                MESSAGE.set(Some(format!("{said}{location}")));
            } else {
                inherited(info);
            }
        }));
    });
    CATCHING.set(true);
    // What the body leaves half done is only looked at, never run on.
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    CATCHING.set(false);
    result.map_err(|_| MESSAGE.take().unwrap_or_else(|| "a panic without a text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_text_and_place() {
        assert_eq!(catch(|| 7), Ok(7));
        let message = catch(|| panic!("index {} is committed", 5)).expect_err("it panicked");
        assert!(message.starts_with("index 5 is committed ("), "{message}");
        assert!(message.contains("panics.rs:"), "{message}");
    }
}
