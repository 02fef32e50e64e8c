// SPDX-License-Identifier: GPL-2.0

//! Raw C interfaces that the `kernel` crate's own bindings lack, made by bindgen from `bindings_helper.h`.
//!
//! Only the abstraction layer (`rust/`, `drivers/`) may use them. Where a type also exists in `kernel::bindings`, it
//! has the same layout, as both come from the same headers and flags; the two are converted by pointer casts in the
//! abstraction that needs both.

#![allow(
    warnings,
    clippy::all,
    unsafe_op_in_unsafe_fn,
    missing_docs,
    rustdoc::all
)]

use kernel::ffi;
use pin_init::MaybeZeroable;

// Mapped by hand, as the kernel's own bindings do, so that they are `usize` and `isize` everywhere.
type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// `RUST_FUSE_OBJ` is the build folder; Kbuild sets it.
include!(concat!(
    env!("RUST_FUSE_OBJ"),
    "/rust/bindings/generated.rs"
));
