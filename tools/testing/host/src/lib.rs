// SPDX-License-Identifier: GPL-2.0

//! The pure modules of rust_fuse, built for the host from the very files of the kernel module.
//!
//! Without `std` and under the kernel's lints, so that what builds here builds there. The tests are
//! in `tests/`: one file per module and question.

#![no_std]
#![deny(
    missing_docs,
    rust_2018_idioms,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ignored_unit_patterns,
    clippy::mut_mut,
    clippy::needless_bitwise_bool,
    clippy::ptr_as_ptr,
    clippy::ptr_cast_constness
)]

#[path = "../../../../fs/fuse/proto/mod.rs"]
pub mod proto;

#[path = "../../../../fs/fuse/dax"]
pub mod dax {
    //! The pure parts of DAX.

    pub mod policy;
    pub mod ranges;
    pub mod turns;
}

#[path = "../../../../fs/fuse/chan"]
pub mod chan {
    //! The pure parts of requests.

    pub mod limits;
}
#[path = "../../../../fs/fuse/iomode.rs"]
pub mod iomode;
