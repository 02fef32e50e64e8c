// SPDX-License-Identifier: GPL-2.0

//! Error codes that `kernel::error::code` lacks.

use kernel::{error::Error, ffi::c_int};

/// Defines a function for each code.
macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $code:ident;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name() -> Error {
            Error::from_errno(-(kernel::bindings::$code as c_int))
        }
    )*};
}

codes! {
    /// The operation was cancelled.
    ecanceled = ECANCELED;
    /// No such attribute.
    enodata = ENODATA;
    /// Function not implemented.
    enosys = ENOSYS;
    /// File name too long.
    enametoolong = ENAMETOOLONG;
    /// Protocol error.
    eproto = EPROTO;
    /// Operation not supported.
    eopnotsupp = EOPNOTSUPP;
    /// No locks available.
    enolck = ENOLCK;
    /// The connection was aborted.
    econnaborted = ECONNABORTED;
    /// The connection was refused.
    econnrefused = ECONNREFUSED;
    /// Directory not empty.
    enotempty = ENOTEMPTY;
    /// Stale file handle.
    estale = ESTALE;
    /// Transport endpoint is not connected.
    enotconn = ENOTCONN;
}
