//! Questions about one thing each. One that fails must not keep the others from being asked; several in a row are the
//! system's own trouble, and end the look.

use super::LookEnd;
use crate::domain::delivery::cut;
use crate::domain::record::{Evidence, Failure, FailureKind};

/// Failures in a row that end a look.
pub const IN_A_ROW: u32 = 3;
/// Things that failed which are named.
const NAMED: usize = 3;
/// Longest name of one, bytes.
const NAME_BYTES: usize = 100;

/// What becomes of the questions of one look.
#[derive(Debug, Default)]
pub struct Asking {
    calls: u32,
    in_a_row: u32,
    /// What failed by itself.
    failed: Vec<String>,
    fault: Option<Failure>,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Then {
    /// The thing was asked about; else it stays wanted as it is.
    pub asked: bool,
    pub go_on: bool,
}

impl Asking {
    /// There was an answer.
    pub fn answered(&mut self) -> Then {
        self.calls += 1;
        self.in_a_row = 0;
        Then { asked: true, go_on: true }
    }

    /// A call more, for an answer that is not whole yet.
    pub fn called(&mut self) {
        self.calls += 1;
    }

    /// There was none. What is no matter of this one thing (a right, a wait, credentials) ends the look at once.
    pub fn failed(&mut self, key: &str, failure: Failure) -> Then {
        self.calls += 1;
        if failure.kind != FailureKind::Broken {
            self.fault = Some(failure);
            self.failed.clear();
            return Then { asked: false, go_on: false };
        }
        self.in_a_row += 1;
        self.failed.push(cut(&key.escape_debug().to_string(), NAME_BYTES));
        self.fault.get_or_insert(failure);
        Then { asked: true, go_on: self.in_a_row < IN_A_ROW }
    }

    /// Nobody listens any more.
    pub fn stopped(&mut self, what: &str) {
        self.fault.get_or_insert_with(|| Failure::broken(format!("the look at {what} was stopped")));
    }

    /// The end of the look. One without any call was idle.
    pub fn end(self) -> LookEnd {
        let idle = self.calls == 0 && self.fault.is_none();
        let names = self.names();
        let evidence = match self.fault {
            None => Evidence::Window,
            Some(fault) if names.is_empty() => Evidence::Partial(fault),
            Some(fault) => Evidence::Partial(Failure { message: format!("{names}: {}", fault.message), ..fault }),
        };
        LookEnd { idle, ..LookEnd::new(evidence, None, self.calls) }
    }

    fn names(&self) -> String {
        let more = self.failed.len().saturating_sub(NAMED);
        let mut names = self.failed.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Failure {
        Failure::broken("it was answered 500")
    }

    fn message(asking: Asking) -> String {
        match asking.end().evidence {
            Evidence::Partial(failure) => failure.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_fails_is_named_and_the_others_are_asked() {
        let mut asking = Asking::default();
        for key in ["T-1", "T-2", "T-3", "T-4", "T-5"] {
            assert_eq!(asking.failed(key, broken()), Then { asked: true, go_on: true });
            assert_eq!(asking.answered(), Then { asked: true, go_on: true });
        }
        assert_eq!(message(asking), "T-1, T-2, T-3 and 2 more: it was answered 500");
    }

    #[test]
    fn several_in_a_row_end_the_look_and_so_does_what_is_no_matter_of_one() {
        let mut asking = Asking::default();
        let go_on: Vec<bool> = ["a", "b", "c"].iter().map(|key| asking.failed(key, broken()).go_on).collect();
        assert_eq!(go_on, [true, true, false]);
        let mut asking = Asking::default();
        asking.failed("a", broken());
        let refused = Failure { kind: FailureKind::Unauthorized, message: "refused".into() };
        assert_eq!(asking.failed("b", refused), Then { asked: false, go_on: false });
        assert_eq!(message(asking), "refused");
    }

    #[test]
    fn a_look_without_a_call_was_idle() {
        assert!(Asking::default().end().idle);
        let mut asking = Asking::default();
        asking.answered();
        assert!(!asking.end().idle);
    }
}
