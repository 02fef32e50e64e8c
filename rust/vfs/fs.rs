// SPDX-License-Identifier: GPL-2.0

//! File system types: registration, mount options and the way from a mount call to a super block.
//!
//! `get_tree` runs under the mount's own lock; `s_umount` of the super block is held while it is filled.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use super::{
    cred::{Kgid, Kuid},
    dentry::{Cached, Confirm},
    file::AnyFile,
    file::Positions,
    inode, super_block, to_int, Inode, Mounted, SuperBlock,
};
use crate::bindings;
use core::{
    marker::{PhantomData, PhantomPinned},
    ptr::NonNull,
};
use kernel::{prelude::*, str::CStr, sync::Arc, types::Opaque};

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

    /// Whether the option is for a mount that exists, and then whether it comes by mount(2), whose callers repeat every option.
    pub(crate) fn remount(&self) -> Option<bool> {
        // SAFETY: The context is valid while the option is parsed.
        unsafe {
            bindings::rust_fuse_fc_reconfigures(self.fc)
                .then(|| bindings::rust_fuse_fc_is_oldapi(self.fc))
        }
    }
}

/// `FS_HAS_SUBTYPE`: the type in `/proc/mounts` may have a part after a dot.
pub(crate) const HAS_SUBTYPE: u32 = bindings::FS_HAS_SUBTYPE;
/// `FS_USERNS_MOUNT`: those who are root in a user namespace of their own may mount it.
pub(crate) const USERNS_MOUNT: u32 = bindings::FS_USERNS_MOUNT;

/// Whether a file system knows an option.
pub(crate) enum Parsed {
    /// It was taken.
    Taken,
    /// It is unknown; the VFS tries its own and fails with `EINVAL` otherwise.
    Unknown,
}

/// A file system: what its super blocks, inodes and open files are typed by.
pub(crate) trait FileSystem: Sized + Send + Sync + 'static {
    /// Name of the slab cache of its inodes.
    const INODE_CACHE: &'static CStr;
    /// `statfs` type.
    const MAGIC: u64;

    /// What a super block holds.
    type Super: Send + Sync + 'static;
    /// What an inode holds. It is dropped from an RCU callback and must not sleep then.
    type Inode: Send + Sync + 'static;
    /// What an open file holds.
    type File: Send + Sync + 'static;

    /// What lends the super block to background work.
    fn mounted(data: &Self::Super) -> &Mounted<Self>;

    /// The user asks for the end by force (`umount -f`): whatever waits for the server is to fail.
    fn abort(data: &Self::Super);

    /// Runs at the end of an unmount, when every inode is gone.
    fn put_super(data: &Self::Super);

    /// Makes the private data of an inode.
    fn new_inode() -> impl PinInit<Self::Inode, Error>;

    /// The handlers of extended attributes: [`super_block::XattrHandlers::of`].
    fn xattr_handlers() -> super_block::XattrHandlers;

    /// Whether `name` in `dir` still is what `dentry` says.
    fn revalidate(
        dir: &Inode<Self>,
        name: &[u8],
        dentry: &Cached<Self>,
        confirm: Confirm,
    ) -> Result<bool>;

    /// What positions mean in an open file or directory.
    fn positions(file: &Self::File) -> Positions;

    /// Whether an inode without users holds what the server has not been told, so that it must not leave memory yet. Runs
    /// under the inode's spinlock.
    fn has_news(inode: &Inode<Self>) -> bool;

    /// Tells the server of what changed of an inode but its data, and waits. With `all` now; else it may mark the inode
    /// dirty again and do so later.
    fn write_inode(inode: &Inode<Self>, all: bool) -> Result;

    /// Runs when an inode leaves memory, after its pages and layouts are gone.
    fn evict(inode: &Inode<Self>, unmounting: bool);

    /// Makes everything durable, and waits for it. Written pages were handed over before.
    fn sync(root: &Inode<Self>) -> Result;

    /// Fills in what `statfs` reports.
    fn statfs(root: &Inode<Self>, st: &mut super_block::StatFs) -> Result;

    /// Writes the mount options that differ from the defaults, each as `,key=value`.
    fn show_options(sb: &SuperBlock<Self>, out: &mut super_block::OptionWriter<'_>) -> Result;
}

/// A file system type: one way to mount a [`FileSystem`], with a name and options of its own.
pub(crate) trait Type: Sized + 'static {
    /// What is mounted.
    type Fs: FileSystem;

    /// What stands in `/proc/filesystems`.
    const NAME: &'static CStr;
    /// `FS_*` flags.
    const FLAGS: u32 = 0;
    /// It is mounted from a block device, of which there is one super block; [`Self::same`] does not count then.
    const BLOCK: bool = false;
    /// What its users may write before it is written back is little: whoever writes it back is not trusted to do so soon.
    const STRICT: bool = false;

    /// What all its mounts share.
    type Context: Send + Sync + 'static;
    /// Options while they are collected.
    type Options: Default + Send + 'static;

    /// Takes one option. An error ends the mount call with it.
    fn parse_param(
        context: &Self::Context,
        options: &mut Self::Options,
        param: &Param<'_>,
    ) -> Result<Parsed>;

    /// Finds what `source` names and makes a candidate for a super block of it.
    fn prepare(
        context: &Self::Context,
        options: &Self::Options,
        source: Option<&CStr>,
    ) -> Result<Arc<<Self::Fs as FileSystem>::Super>>;

    /// Whether a live super block already serves what the candidate would; it is then shared. Must not sleep.
    fn same(
        existing: &<Self::Fs as FileSystem>::Super,
        candidate: &<Self::Fs as FileSystem>::Super,
    ) -> bool;

    /// Fills a new super block and returns its root inode.
    fn fill_super(
        sb: &SuperBlock<Self::Fs>,
        options: &Self::Options,
    ) -> Result<inode::Ref<Self::Fs>>;

    /// Takes options for a super block that is in use. An error refuses the remount.
    fn reconfigure(sb: &SuperBlock<Self::Fs>, options: &Self::Options) -> Result;
}

/// What all types of one file system have in common: the memory of its inodes.
pub(crate) struct Common<T: FileSystem> {
    cache: NonNull<bindings::kmem_cache>,
    _fs: PhantomData<T>,
}

// SAFETY: A slab cache may be used and destroyed by every thread.
unsafe impl<T: FileSystem> Send for Common<T> {}
// SAFETY: As above.
unsafe impl<T: FileSystem> Sync for Common<T> {}

impl<T: FileSystem> Common<T> {
    /// Makes the slab cache. Once for each file system.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let cache = super_block::create_cache::<T>()?;
        let _fs = PhantomData;
        Ok(Arc::new(Self { cache, _fs }, GFP_KERNEL)?)
    }

    /// The cache that its inodes come from.
    pub(super) fn cache(&self) -> NonNull<bindings::kmem_cache> {
        self.cache
    }

    /// What belongs to a `file_system_type`.
    ///
    /// # Safety
    ///
    /// `fs` must be that of a live [`Registration`] of a type of `T`.
    pub(super) unsafe fn of<'a>(fs: *mut bindings::file_system_type) -> &'a Self {
        // SAFETY: By the caller's promise it is in a `Head`; `Opaque` is transparent.
        unsafe { &(*kernel::container_of!(Opaque::cast_from(fs), Head<T>, fs)).common }
    }
}

impl<T: FileSystem> Drop for Common<T> {
    fn drop(&mut self) {
        // SAFETY: Inodes are freed by RCU callbacks; once those ran, the cache is empty, as no registration is left.
        unsafe {
            bindings::rust_fuse_rcu_barrier();
            bindings::rust_fuse_kmem_cache_destroy(self.cache.as_ptr());
        }
    }
}

/// The part of a registration that does not depend on how the file system is mounted.
#[pin_data]
struct Head<T: FileSystem> {
    #[pin]
    fs: Opaque<bindings::file_system_type>,
    common: Arc<Common<T>>,
}

/// A registered file system type. Dropping it unregisters the type.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<M: Type> {
    #[pin]
    head: Head<M::Fs>,
    registered: bool,
    context: Arc<M::Context>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The type is only reached through functions that may be called from every thread.
unsafe impl<M: Type> Send for Registration<M> {}
// SAFETY: As above; `&Registration` offers nothing that changes it.
unsafe impl<M: Type> Sync for Registration<M> {}

impl<M: Type> Registration<M> {
    /// Registers the type.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken, as it is while the C module of that name is loaded.
    pub(crate) fn new(
        module: &'static ThisModule,
        common: Arc<Common<M::Fs>>,
        context: Arc<M::Context>,
    ) -> impl PinInit<Self, Error> {
        let fs = Opaque::ffi_init(move |fs: *mut bindings::file_system_type| {
            // SAFETY: `fs` is valid for writes; all zeroes is a valid type that is not registered.
            unsafe {
                fs.write(pin_init::zeroed());
                (*fs).owner = module.as_ptr().cast();
                (*fs).name = M::NAME.as_char_ptr();
                let block = if M::BLOCK {
                    bindings::FS_REQUIRES_DEV
                } else {
                    0
                };
                (*fs).fs_flags = (M::FLAGS | block) as c_int;
                (*fs).init_fs_context = Some(init_fs_context::<M>);
                (*fs).kill_sb = Some(super_block::kill_sb::<M::Fs>);
            }
        });
        try_pin_init!(Self {
            head <- pin_init!(Head { fs <- fs, common }),
            registered: false,
            context,
            _pin: PhantomPinned,
        })
        .pin_chain(|this: Pin<&mut Self>| {
            // SAFETY: Nothing is moved out; only a flag is set.
            let this = unsafe { this.get_unchecked_mut() };
            // SAFETY: The type is initialised, pinned, and unregistered before it goes away.
            kernel::error::to_result(unsafe { bindings::register_filesystem(this.head.fs.get()) })?;
            this.registered = true;
            Ok(())
        })
    }

    /// The registration that a `file_system_type` belongs to.
    ///
    /// # Safety
    ///
    /// `fs` must be the member of a live `Registration<M>`.
    unsafe fn of<'a>(fs: *mut bindings::file_system_type) -> &'a Self {
        // SAFETY: By the caller's promise; `Opaque` is transparent.
        unsafe {
            let head = kernel::container_of!(Opaque::cast_from(fs), Head<M::Fs>, fs);
            &*kernel::container_of!(head, Self, head)
        }
    }
}

#[pinned_drop]
impl<M: Type> PinnedDrop for Registration<M> {
    fn drop(self: Pin<&mut Self>) {
        if self.registered {
            // SAFETY: It was registered. The module is not in use, so no super block of this type is left.
            let _ = unsafe { bindings::unregister_filesystem(self.head.fs.get()) };
        }
    }
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
    /// `fc` is a context that `init_fs_context` set up and nothing else uses now.
    unsafe fn get<'a>(fc: *mut bindings::fs_context) -> &'a mut Self {
        // SAFETY: `fs_private` was set from a box of this type.
        unsafe { &mut *(*fc).fs_private.cast() }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was seen by `init_fs_context`, and ends.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: Called once, at the end of the context; both pointers are ours or null.
        unsafe {
            let private = core::mem::replace(&mut (*fc).fs_private, core::ptr::null_mut());
            if !private.is_null() {
                drop(KBox::from_raw(private.cast::<Self>()));
            }
            let candidate = core::mem::replace(&mut (*fc).s_fs_info, core::ptr::null_mut());
            if !candidate.is_null() {
                drop(Arc::<<M::Fs as FileSystem>::Super>::from_raw(
                    candidate.cast(),
                ));
            }
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by `init_fs_context` and is locked; `param` is valid.
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
    /// For the VFS only: `fc` was set up by `init_fs_context`, is locked, and has no root yet.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: `fc` is valid for the call and set up by `init_fs_context`.
        to_int(unsafe { Self::try_get_tree(fc) })
    }

    /// # Safety
    ///
    /// As for [`Self::get`].
    unsafe fn try_get_tree(fc: *mut bindings::fs_context) -> Result {
        // SAFETY: By the caller's promise.
        let this = unsafe { Self::get(fc) };
        // SAFETY: The source is NUL-terminated and lives as long as the context.
        let source = unsafe {
            let s = (*fc).source;
            (!s.is_null()).then(|| CStr::from_char_ptr(s))
        };
        // SAFETY: The context's type is the member of a registration that outlives the mount call.
        let registration = unsafe { Registration::<M>::of((*fc).fs_type) };
        let candidate = M::prepare(&registration.context, &this.options, source)?;
        // SAFETY: `free` or the super block takes the reference back.
        unsafe { (*fc).s_fs_info = Arc::into_raw(candidate).cast_mut().cast() };
        if M::BLOCK {
            // SAFETY: The context is valid, with a candidate; the callback fits its type.
            return kernel::error::to_result(unsafe {
                bindings::get_tree_bdev(fc, Some(Self::fill_block))
            });
        }
        // SAFETY: The context is valid; both callbacks fit its type.
        let sb = super::from_err_ptr(unsafe {
            bindings::sget_fc(
                fc,
                Some(super_block::test::<M>),
                Some(bindings::set_anon_super_fc),
            )
        })?;
        // SAFETY: `sget_fc` returned a referenced super block with `s_umount` held for writing.
        unsafe {
            if (*sb).s_root.is_null() {
                if let Err(e) = super_block::fill::<M>(sb, &this.options) {
                    bindings::deactivate_locked_super(sb);
                    return Err(e);
                }
            } else if let Err(e) = M::reconfigure(SuperBlock::from_raw(sb), &this.options) {
                bindings::deactivate_locked_super(sb);
                return Err(e);
            }
            (*fc).root = bindings::rust_fuse_dget((*sb).s_root);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// For `get_tree_bdev` only: `sb` is new, with the candidate of `fc`, which `init_fs_context` set up.
    unsafe extern "C" fn fill_block(
        sb: *mut bindings::super_block,
        fc: *mut bindings::fs_context,
    ) -> c_int {
        // SAFETY: As this function requires.
        to_int(unsafe { super_block::fill::<M>(sb, &Self::get(fc).options) })
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by `init_fs_context`, is locked, and has the root of a super block of `M::Fs`, whose `s_umount` is
    /// held.
    unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: A context for reconfiguring has the root of a super block of this type.
        to_int(unsafe {
            let sb = (*(*fc).root).d_sb;
            bindings::sync_filesystem(sb);
            if (*fc).sb_flags as usize & bindings::RUST_FUSE_SB_MANDLOCK != 0 {
                Err(EINVAL)
            } else {
                M::reconfigure(SuperBlock::from_raw(sb), &Self::get(fc).options)
            }
        })
    }
}

/// # Safety
///
/// For the VFS only: `fc` is new, and its type is the member of a [`Registration<M>`].
unsafe extern "C" fn init_fs_context<M: Type>(fc: *mut bindings::fs_context) -> c_int {
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
