// SPDX-License-Identifier: GPL-2.0

//! Mount calls: their options, and the way to a super block.
//!
//! A mount call runs under its own lock; `s_umount` of the super block is held while that is filled or looked at.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use super::{
    cred::{Kgid, Kuid},
    file::AnyFile,
    fs::{FileSystem, Registration, Type},
    submount, super_block, to_int, SuperBlock,
};
use crate::bindings;
use kernel::{fmt, prelude::*, str::CStr, sync::Arc};

/// Options of a mount call that is being carried out.
pub(crate) struct Call<'a, O> {
    options: &'a O,
    fc: *mut bindings::fs_context,
}

impl<O> Call<'_, O> {
    /// Tells who mounts why it fails: in the log of the call, or the kernel's where it has none.
    pub(crate) fn error(&self, why: fmt::Arguments<'_>) {
        // SAFETY: The context is valid as long as this value.
        unsafe { error(self.fc, why) }
    }
}

impl<O> core::ops::Deref for Call<'_, O> {
    type Target = O;

    fn deref(&self) -> &O {
        self.options
    }
}

/// # Safety
///
/// `fc` is valid.
unsafe fn error(fc: *mut bindings::fs_context, why: fmt::Arguments<'_>) {
    // SAFETY: The shim prints the arguments, by a format of the kernel's for them.
    unsafe { bindings::rust_fuse_fs_error(fc, (&raw const why).cast()) };
}

/// One `key[=value]` of a mount call.
pub(crate) struct Param<'a> {
    /// The option's name.
    pub(crate) key: &'a CStr,
    /// Its value, if one was given as a string.
    pub(crate) value: Option<&'a CStr>,
    raw: *mut bindings::fs_parameter,
    fc: *mut bindings::fs_context,
}

impl Param<'_> {
    /// The value as a number of that base.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn number(&self, radix: u32) -> Result<u32> {
        let text = self.value.ok_or(EINVAL)?.to_str().map_err(|_| EINVAL)?;
        u32::from_str_radix(text, radix).map_err(|_| EINVAL)
    }

    /// The open file that was given, itself or by its descriptor.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EBADF`.
    pub(crate) fn file(&self) -> Result<AnyFile> {
        // SAFETY: Both are valid while the option is parsed; the shim raises a count.
        unsafe { AnyFile::from_raw(bindings::rust_fuse_fs_parameter_file(self.raw)) }
    }

    /// Whether `file` was opened in the user namespace that the mount will belong to.
    pub(crate) fn same_user_ns(&self, file: &AnyFile) -> bool {
        // SAFETY: Both are valid while the option is parsed.
        unsafe { bindings::rust_fuse_file_in_user_ns(file.as_raw(), (*self.fc).user_ns) }
    }

    /// A user of the caller's namespace.
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that the mount's namespace cannot name.
    pub(crate) fn user(&self) -> Result<Kuid> {
        let mut id = 0;
        // SAFETY: The context is valid while the option is parsed.
        unsafe { bindings::rust_fuse_make_kuid(self.fc, self.number(10)?, &mut id) }
            .then_some(Kuid(id))
            .ok_or(EINVAL)
    }

    /// A group of the caller's namespace.
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that the mount's namespace cannot name.
    pub(crate) fn group(&self) -> Result<Kgid> {
        let mut id = 0;
        // SAFETY: The context is valid while the option is parsed.
        unsafe { bindings::rust_fuse_make_kgid(self.fc, self.number(10)?, &mut id) }
            .then_some(Kgid(id))
            .ok_or(EINVAL)
    }

    /// As [`Call::error`].
    pub(crate) fn error(&self, why: fmt::Arguments<'_>) {
        // SAFETY: The context is valid while the option is parsed.
        unsafe { error(self.fc, why) }
    }

    /// Whether the option is for a mount that exists, and then whether it comes by mount(2), whose callers repeat every option.
    pub(crate) fn remount(&self) -> Option<bool> {
        // SAFETY: The context is valid while the option is parsed.
        unsafe {
            bindings::rust_fuse_fc_reconfigures(self.fc)
                .then(|| bindings::rust_fuse_fc_is_oldapi(self.fc))
        }
    }
}

/// Whether a file system knows an option.
pub(crate) enum Parsed {
    /// It was taken.
    Taken,
    /// It is unknown; the VFS tries its own and fails with `EINVAL` otherwise.
    Unknown,
}

/// A mount call under way.
struct Context<M: Type> {
    options: M::Options,
}

impl<M: Type> Context<M> {
    const OPS: &'static bindings::fs_context_operations = &bindings::fs_context_operations {
        free: Some(Self::free),
        dup: None,
        parse_param: Some(Self::parse_param),
        parse_monolithic: None,
        get_tree: Some(Self::get_tree),
        reconfigure: Some(Self::reconfigure),
    };

    /// # Safety
    ///
    /// `fc` is a context that [`init`] set up and nothing else uses now.
    unsafe fn get<'a>(fc: *mut bindings::fs_context) -> &'a mut Self {
        // SAFETY: `fs_private` was set from a box of this type.
        unsafe { &mut *(*fc).fs_private.cast() }
    }

    /// # Safety
    ///
    /// As for [`Self::get`].
    unsafe fn call<'a>(fc: *mut bindings::fs_context) -> Call<'a, M::Options> {
        // SAFETY: By the caller's promise.
        let options = unsafe { &Self::get(fc).options };
        Call { options, fc }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was seen by [`init`], and ends.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: Called once, at the end of the context; both pointers are ours or null.
        unsafe {
            let private = core::mem::replace(&mut (*fc).fs_private, core::ptr::null_mut());
            if !private.is_null() {
                drop(KBox::from_raw(private.cast::<Self>()));
            }
            drop_candidate::<M::Fs>(fc);
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by [`init`] and is locked; `param` is valid.
    unsafe extern "C" fn parse_param(
        fc: *mut bindings::fs_context,
        param: *mut bindings::fs_parameter,
    ) -> c_int {
        // SAFETY: Both are valid for the call; key and string are NUL-terminated.
        let (this, key, value) = unsafe {
            let string = bindings::rust_fuse_fs_parameter_type(param)
                == bindings::fs_value_type_fs_value_is_string as c_int;
            let s = (*param).__bindgen_anon_1.string;
            (
                Self::get(fc),
                CStr::from_char_ptr((*param).key),
                (string && !s.is_null()).then(|| CStr::from_char_ptr(s)),
            )
        };
        // SAFETY: The context's type is the member of a registration that outlives the mount call.
        let registration = unsafe { Registration::<M>::of((*fc).fs_type) };
        match M::parse_param(
            &registration.context,
            &mut this.options,
            &Param {
                key,
                value,
                raw: param,
                fc,
            },
        ) {
            Ok(Parsed::Taken) => 0,
            Ok(Parsed::Unknown) => kernel::error::code::ENOPARAM.to_errno(),
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by [`init`], is locked, and has no root yet.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: `fc` is valid for the call and set up by [`init`].
        to_int(unsafe { Self::try_get_tree(fc) })
    }

    /// # Safety
    ///
    /// As for [`Self::get`].
    unsafe fn try_get_tree(fc: *mut bindings::fs_context) -> Result {
        // SAFETY: By the caller's promise.
        let call = unsafe { Self::call(fc) };
        // SAFETY: The source is NUL-terminated and lives as long as the context.
        let source = unsafe {
            let s = (*fc).source;
            (!s.is_null()).then(|| CStr::from_char_ptr(s))
        };
        // SAFETY: The context's type is the member of a registration that outlives the mount call.
        let registration = unsafe { Registration::<M>::of((*fc).fs_type) };
        let candidate = M::prepare(&registration.context, &call, source)?;
        if M::BLOCK {
            // SAFETY: By the caller's promise; the end of the context or the super block takes the reference back, and the
            // callback fits the context.
            return kernel::error::to_result(unsafe {
                (*fc).s_fs_info = Arc::into_raw(candidate).cast_mut().cast();
                bindings::get_tree_bdev(fc, Some(Self::fill_block))
            });
        }
        // SAFETY: By the caller's promise; the super block is locked, and new or filled.
        unsafe {
            find_or_fill::<M::Fs>(fc, candidate, test::<M>, |sb| {
                if (*sb).s_root.is_null() {
                    super_block::fill::<M>(sb, &call)
                } else {
                    M::reconfigure(SuperBlock::from_raw(sb), &call)
                }
            })
        }
    }

    /// # Safety
    ///
    /// For `get_tree_bdev` only: `sb` is new, with the candidate of `fc`, which [`init`] set up.
    unsafe extern "C" fn fill_block(
        sb: *mut bindings::super_block,
        fc: *mut bindings::fs_context,
    ) -> c_int {
        // SAFETY: As this function requires.
        to_int(unsafe { super_block::fill::<M>(sb, &Self::call(fc)) })
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by [`init`], is locked, and has the root of a super block of `M::Fs`, whose `s_umount` is
    /// held.
    unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: A context for reconfiguring has the root of a super block of this type.
        to_int(unsafe {
            let sb = (*(*fc).root).d_sb;
            bindings::sync_filesystem(sb);
            if (*fc).sb_flags as usize & bindings::RUST_FUSE_SB_MANDLOCK != 0 {
                Err(EINVAL)
            } else {
                M::reconfigure(SuperBlock::from_raw(sb), &Self::call(fc))
            }
        })
    }
}

/// Whether the candidate in `fc` is served by `sb` already.
///
/// # Safety
///
/// For `sget_fc` only: `sb` is a super block of `M::Fs` and `fc` a context of `M` with its candidate. Runs under a spinlock.
unsafe extern "C" fn test<M: Type>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    // SAFETY: By the caller's promise.
    let (existing, candidate) = unsafe { both::<M::Fs>(sb, fc) };
    c_int::from(M::same(existing, candidate))
}

/// The private data of a super block and of the candidate for one.
///
/// # Safety
///
/// `sb` is a super block of `T` and `fc` a context with its candidate; both stay for `'a`.
pub(super) unsafe fn both<'a, T: FileSystem>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> (&'a T::Super, &'a T::Super) {
    // SAFETY: By the caller's promise. The private data of a super block is set together with its birth.
    unsafe {
        (
            &*(*sb).s_fs_info.cast::<T::Super>(),
            &*(*fc).s_fs_info.cast::<T::Super>(),
        )
    }
}

/// Finds a super block that serves what `candidate` would, or makes one; has it filled or looked at by `settle`, and sets the
/// root of `fc`.
///
/// # Safety
///
/// `fc` is locked, has neither candidate nor root yet, and gives a candidate that is left up with [`drop_candidate`]; `test`
/// is for super blocks and contexts of `T`.
pub(super) unsafe fn find_or_fill<T: FileSystem>(
    fc: *mut bindings::fs_context,
    candidate: Arc<T::Super>,
    test: unsafe extern "C" fn(*mut bindings::super_block, *mut bindings::fs_context) -> c_int,
    settle: impl FnOnce(*mut bindings::super_block) -> Result,
) -> Result {
    // SAFETY: The end of the context or the super block takes the reference back; both callbacks fit the context.
    let sb = super::from_err_ptr(unsafe {
        (*fc).s_fs_info = Arc::into_raw(candidate).cast_mut().cast();
        bindings::sget_fc(fc, Some(test), Some(bindings::set_anon_super_fc))
    })?;
    // It comes referenced, with `s_umount` held for writing.
    if let Err(e) = settle(sb) {
        // SAFETY: As said.
        unsafe { bindings::deactivate_locked_super(sb) };
        return Err(e);
    }
    // SAFETY: As said; it has a root now.
    unsafe { (*fc).root = bindings::rust_fuse_dget((*sb).s_root) };
    Ok(())
}

/// Gives up a candidate that became no super block.
///
/// # Safety
///
/// `fc` ends, and its `s_fs_info` is null or what `Arc::into_raw` gave for an `Arc<T::Super>`.
pub(super) unsafe fn drop_candidate<T: FileSystem>(fc: *mut bindings::fs_context) {
    // SAFETY: By the caller's promise.
    unsafe {
        let candidate = core::mem::replace(&mut (*fc).s_fs_info, core::ptr::null_mut());
        if !candidate.is_null() {
            drop(Arc::<T::Super>::from_raw(candidate.cast()));
        }
    }
}

/// # Safety
///
/// For the VFS only: `fc` is new, and its type is the member of a [`Registration<M>`].
pub(super) unsafe extern "C" fn init<M: Type>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: `fc` is ours to fill.
    unsafe {
        if submount::is_for(fc) {
            submount::init::<M::Fs>(fc);
            return 0;
        }
    }
    let context = KBox::new(
        Context::<M> {
            options: M::Options::default(),
        },
        GFP_KERNEL,
    );
    match context {
        Ok(context) => {
            // SAFETY: `fc` is ours to fill; `free` takes the box back.
            unsafe {
                (*fc).fs_private = KBox::into_raw(context).cast();
                (*fc).ops = Context::<M>::OPS;
            }
            0
        }
        Err(_) => ENOMEM.to_errno(),
    }
}
