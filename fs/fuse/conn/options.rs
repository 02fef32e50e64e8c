// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::vfs::fs::{Param, Parsed};
use kernel::prelude::*;

/// Which files are reached by DAX (`dax=`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum DaxMode {
    /// No option was given: as `Inode`, where there is a window.
    #[default]
    Default,
    /// Those that the server marks.
    Inode,
    /// Every regular file.
    Always,
    /// None.
    Never,
}

impl DaxMode {
    /// The value of the option that gives this mode.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Inode => Some("inode"),
            Self::Always => Some("always"),
            Self::Never => Some("never"),
        }
    }
}

/// The options of a virtiofs mount.
#[derive(Default)]
pub(crate) struct Options {
    /// `dax`, `dax=`.
    pub(crate) dax: DaxMode,
}

impl Options {
    /// Takes one option.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mode that does not exist.
    pub(crate) fn parse(&mut self, param: &Param<'_>) -> Result<Parsed> {
        if param.key.to_bytes() != b"dax" {
            return Ok(Parsed::Unknown);
        }
        self.dax = match param.value.map(|v| v.to_bytes()) {
            None | Some(b"") | Some(b"always") => DaxMode::Always,
            Some(b"inode") => DaxMode::Inode,
            Some(b"never") => DaxMode::Never,
            Some(_) => {
                pr_err!("dax={}: use always, inode or never\n", Shown(param.value));
                return Err(EINVAL);
            }
        };
        Ok(Parsed::Taken)
    }
}

/// A value in a message.
struct Shown<'a>(Option<&'a kernel::str::CStr>);

impl kernel::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        match self.0 {
            Some(s) => kernel::fmt::Display::fmt(s, f),
            None => Ok(()),
        }
    }
}
