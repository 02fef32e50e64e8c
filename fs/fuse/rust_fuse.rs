// SPDX-License-Identifier: GPL-2.0
//! test
use kernel::prelude::*;
#[path = "../../rust/bindings/mod.rs"]
mod bindings;
module! {
    type: RustFuse,
    name: "rust_fuse",
    authors: ["The rust_fuse developers"],
    description: "FUSE and virtiofs client",
    license: "GPL",
}
struct RustFuse;
impl kernel::Module for RustFuse {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let _x: bindings::iomap = pin_init::zeroed();
        Ok(RustFuse)
    }
}
