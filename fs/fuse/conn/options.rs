// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::vfs::context::{Param, Parsed};
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

/// Who keeps the locks that processes take on files (`locks=`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum LockMode {
    /// No option was given: the server where it can, else the kernel.
    #[default]
    Default,
    /// The server. Where it cannot there are none: locks that its other clients do not see would be false.
    Server,
    /// The kernel, for this mount alone.
    Local,
}

impl LockMode {
    /// The value of the option that gives this mode.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Server => Some("server"),
            Self::Local => Some("local"),
        }
    }
}

/// The options of a virtiofs mount.
#[derive(Default)]
pub(crate) struct Options {
    /// `dax`, `dax=`.
    pub(crate) dax: DaxMode,
    /// `locks=`.
    pub(crate) locks: LockMode,
}

impl Options {
    /// Takes one option.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mode that does not exist.
    pub(crate) fn parse(&mut self, param: &Param<'_>) -> Result<Parsed> {
        let value = param.value.map(|v| v.to_bytes());
        match param.key.to_bytes() {
            b"dax" => self.dax = Self::parse_dax(param, value)?,
            b"locks" => self.locks = Self::parse_locks(param, value)?,
            _ => return Ok(Parsed::Unknown),
        }
        Ok(Parsed::Taken)
    }

    fn parse_dax(param: &Param<'_>, value: Option<&[u8]>) -> Result<DaxMode> {
        Ok(match value {
            None | Some(b"") | Some(b"always") => DaxMode::Always,
            Some(b"inode") => DaxMode::Inode,
            Some(b"never") => DaxMode::Never,
            Some(_) => {
                param.error(fmt!(
                    "dax={}: use always, inode or never",
                    Shown(param.value)
                ));
                return Err(EINVAL);
            }
        })
    }

    fn parse_locks(param: &Param<'_>, value: Option<&[u8]>) -> Result<LockMode> {
        match value {
            Some(b"server") => Ok(LockMode::Server),
            Some(b"local") => Ok(LockMode::Local),
            _ => {
                param.error(fmt!("locks={}: use server or local", Shown(param.value)));
                Err(EINVAL)
            }
        }
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
