//! How a product's alerts read, in the mails that it sends and in the logs that are exported from its console.

/// The words of a product's alerts, as its vendor's notice has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertFacts {
    /// The names of the fields, in the order of a mail.
    pub fields: &'static [&'static str],
    /// The field with the time, as YYYY/MM/DD hh:mm:ss of the host that has logged it.
    pub time: &'static str,
    /// The field that tells what was logged.
    pub kind: &'static str,
    /// The field that tells more of it.
    pub detail: &'static str,
    /// The field that tells which alert it is.
    pub item: &'static str,
    /// The field with the name of the machine that has raised the alert.
    pub computer: &'static str,
    /// The field with the account that was logged on there.
    pub account: &'static str,
    /// Where the console's view of logs has the terminal.
    pub shown_in: &'static str,
    /// What is logged where an authentication has failed.
    pub failed: &'static str,
    /// What stands before the address of the terminal that could not authenticate itself.
    pub sender: &'static str,
    /// What stands right before that address, within square brackets.
    pub address: &'static str,
    /// The alert that may be a false one: that the folder of logs was touched without right.
    pub folder: &'static str,
    /// The reason of the problem that makes that alert a false one.
    pub false_by: &'static str,
}
