//! What vendors have published about a product beyond the end of its certificate: its directories, programs, faults. Data for a person; nothing is run from here.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::notice::Notice;

/// A vendor's notice with what it names.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// Whom it is asked for by: a product's id where there is such a product.
    pub id: &'static str,
    pub notice: Notice,
    pub directories: &'static [Directory],
    /// What is copied from the server to an agent that is repaired.
    pub delivered: &'static [Delivered],
    pub tools: &'static [Tool],
    pub problems: &'static [Problem],
    /// The programs that it consists of, where a problem is one of some of them.
    pub components: &'static [Component],
    pub signs: &'static [Sign],
    pub login: Option<Login>,
    pub lists: &'static [List],
    pub misprints: &'static [Misprint],
    /// Where other sources say otherwise, and where Kagiban does.
    pub differences: &'static [&'static str],
}

impl Guide {
    pub fn component(&self, id: &str) -> Option<&'static Component> {
        self.components.iter().find(|component| component.id == id)
    }

    /// A notice that names nothing: for what another leaves out.
    pub(crate) const fn of(id: &'static str, notice: Notice) -> Self {
        Self {
            id,
            notice,
            directories: &[],
            delivered: &[],
            tools: &[],
            problems: &[],
            components: &[],
            signs: &[],
            login: None,
            lists: &[],
            misprints: &[],
            differences: &[],
        }
    }

    /// What an agent on such a system is given by a server of such a build.
    pub fn delivered_to(&self, bits: Bits, server_build: u32) -> impl Iterator<Item = &'static Delivered> {
        let fits = move |file: &&Delivered| {
            file.bits.is_none_or(|of| of == bits) && file.from_build.is_none_or(|from| server_build >= from)
        };
        self.delivered.iter().filter(fits)
    }
}

/// Of which width a Windows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    Bits32,
    Bits64,
}

/// How a product came to be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    Anew,
    /// Over the product whose directory it keeps.
    OverOlder,
}

/// A directory that a product is installed into by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    pub bits: Bits,
    /// None where the notice does not tell the ways apart.
    pub installed: Option<Installed>,
    pub path: &'static str,
}

/// A file of the server that an agent needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub name: &'static str,
    /// Below the server's directory; none where the notice does not say.
    pub below: Option<&'static str>,
    /// The agents' Windows that it is for; none where for both.
    pub bits: Option<Bits>,
    /// The first build of the server whose agents need it.
    pub from_build: Option<u32>,
}

/// A program of the vendor, or one that it tells to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    pub program: &'static str,
    /// The directory below that of the product; none where it is found otherwise.
    pub below: Option<&'static str>,
    pub uses: &'static [Use],
}

/// One way to call a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub what: &'static str,
    pub arguments: &'static [Argument],
}

/// An argument of its own: never split, never glued to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    Word(&'static str),
    /// What stands there is another each time.
    Place(&'static str),
    /// The vendor's program takes a password there, which other users of the machine may see while it runs.
    Secret(&'static str),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Place(place) | Self::Secret(place) => write!(f, "<{place}>"),
        }
    }
}

/// A fault that the vendor has told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As the notice counts it.
    pub name: &'static str,
    /// The word for it in metrics.
    pub reason: &'static str,
    pub what: &'static str,
    pub versions: &'static [&'static str],
    /// The first version without it.
    pub mended_in: &'static str,
    pub components: &'static [Component],
    /// It is there only where all of these hold; empty where it comes without any.
    pub conditions: &'static [&'static str],
    pub remedy: &'static str,
    /// What helps for a while.
    pub meanwhile: Option<&'static str>,
    /// What the vendor has seen of when it comes.
    pub seen_after: Option<SeenAfter>,
}

/// A program of a product that consists of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// What a host's configuration and metrics call it.
    pub id: &'static str,
    /// As the notice names it.
    pub name: &'static str,
}

/// After what time, with how many clients: one site, no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenAfter {
    pub uptime: Duration,
    pub clients: u32,
}

impl SeenAfter {
    /// When to look for it with so many clients, if as many requests do it: the notice says no more than that the days depend on the site.
    pub fn forecast(&self, clients: NonZeroU32) -> Duration {
        let seconds = u128::from(self.uptime.as_secs()) * u128::from(self.clients) / u128::from(clients.get());
        Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

/// What tells that it has come to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Where it stands.
    pub place: &'static str,
    /// As it stands there.
    pub text: &'static str,
}

/// Who may log in to a product's console, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    pub name: Length,
    pub password: Length,
    /// One of these or a digit is in a password, with a capital and a small letter.
    pub special: &'static str,
    pub attempts: u8,
    pub locked_for: Duration,
    pub idle: Duration,
    pub accounts: u8,
    pub sessions: u8,
}

/// In characters, both ends allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    pub least: u8,
    pub most: u8,
}

/// What a notice lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub name: &'static str,
    pub items: &'static [&'static str],
}

/// What a notice prints and cannot mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misprint {
    pub printed: &'static str,
    pub meant: &'static str,
}
