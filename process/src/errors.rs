//! How an error is told in one line.

use std::fmt::Display;

/// What is said of an error and its causes, the outermost first. Where a message names its cause already, the cause is not said again.
pub fn said_once(chain: impl IntoIterator<Item = impl Display>) -> String {
    chain.into_iter().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match (said.is_empty(), said.contains(&cause)) {
            (true, _) => cause,
            (false, true) => said,
            (false, false) => format!("{said}: {cause}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_message_names_is_not_repeated_and_any_other_is_told() {
        assert_eq!(said_once(["cannot read: /x: not found", "/x: not found"]), "cannot read: /x: not found");
        assert_eq!(
            said_once(["cannot connect (refused); see the service", "refused"]),
            "cannot connect (refused); see the service"
        );
        assert_eq!(said_once(["the CA cannot be read", "/x: not found"]), "the CA cannot be read: /x: not found");
        assert_eq!(said_once([""; 0]), "");
    }
}
