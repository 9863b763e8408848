//! The built program once it listens. It is built for every system.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

pub(crate) struct Launched {
    pub(crate) child: Child,
    /// What it has not logged yet.
    pub(crate) stderr: BufReader<ChildStderr>,
    /// What it has.
    pub(crate) log: String,
    pub(crate) address: String,
}

impl Launched {
    pub(crate) fn by(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program was built");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("a log in UTF-8") > 0, "it ended early:\n{log}");
            log.push_str(&line);
            if let Some((_, address)) = line.trim_end().split_once("listening address=") {
                break address.to_owned();
            }
        };
        Self { child, stderr, log, address }
    }
}
