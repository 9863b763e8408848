//! Which lines a UPS has: what it does not count itself is none, whatever is written there.

/// Where the number of a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineScope {
    /// There is one line, and its number is the UPS's.
    Whole,
    Line,
    /// There is no such line.
    Nowhere,
}

impl LineScope {
    /// Of the `line`th, counted from 1, of a UPS that has so many.
    pub(super) const fn of(line: usize, lines: usize) -> Self {
        match lines {
            _ if line > lines => Self::Nowhere,
            1 => Self::Whole,
            _ => Self::Line,
        }
    }
}

/// How many lines a UPS says it has, of what it wrote; none is no count.
pub(super) fn counted(written: impl TryInto<usize>) -> Option<usize> {
    written.try_into().ok().filter(|lines| *lines > 0)
}
