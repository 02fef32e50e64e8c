// SPDX-License-Identifier: GPL-2.0

//! File systems and their types: what both are made of, and how a type is registered.
//!
//! How a mount call becomes a super block is in [`context`](super::context). Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    context::{self, Call, Param, Parsed},
    dentry::{Cached, Confirm},
    file::Positions,
    inode,
    pids::Pids,
    super_block, Inode, Mounted, SuperBlock,
};
use crate::{bindings, sync::OwnedQueue};
use core::{
    marker::{PhantomData, PhantomPinned},
    ptr::NonNull,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{Arc, UniqueArc},
    types::Opaque,
};

/// `FS_HAS_SUBTYPE`: the type in `/proc/mounts` may have a part after a dot.
pub(crate) const HAS_SUBTYPE: u32 = bindings::FS_HAS_SUBTYPE;
/// `FS_ALLOW_IDMAP`: mounts of those super blocks that allow it may show other owners than there are.
pub(crate) const ALLOW_IDMAP: u32 = bindings::FS_ALLOW_IDMAP;
/// `FS_USERNS_MOUNT`: those who are root in a user namespace of their own may mount it.
pub(crate) const USERNS_MOUNT: u32 = bindings::FS_USERNS_MOUNT;

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

    /// The namespace in which the server knows processes, where there is a server.
    fn pids(_data: &Self::Super) -> Option<&Pids> {
        None
    }

    /// What lends the super block to background work, where there is any.
    fn mounted(_data: &Self::Super) -> Option<&Mounted<Self>> {
        None
    }

    /// The user asks for the end by force (`umount -f`): whatever waits for the server is to fail.
    fn abort(_data: &Self::Super) {}

    /// An unmount was killed while it waited for what is under way: that is to end, even by force.
    fn give_up(data: &Self::Super) {
        Self::abort(data);
    }

    /// What the super block that begins at `at` holds; see [`inode::New::set_automount`].
    ///
    /// # Errors
    ///
    /// Whoever walks into the directory is told.
    fn submount(_at: &Inode<Self>) -> Result<Arc<Self::Super>> {
        Err(EINVAL)
    }

    /// Whether a live super block already serves what the candidate of [`Self::submount`] would; it is then shared. Must not
    /// sleep.
    fn same_submount(_existing: &Self::Super, _candidate: &Self::Super) -> bool {
        false
    }

    /// Fills the new super block that begins at `at` and returns its root inode.
    fn fill_submount(_sb: &SuperBlock<Self>, _at: &Inode<Self>) -> Result<inode::Ref<Self>> {
        Err(EINVAL)
    }

    /// Runs at the end of an unmount, when every inode is gone.
    fn put_super(_data: &Self::Super) {}

    /// Makes the private data of an inode.
    fn new_inode() -> impl PinInit<Self::Inode, Error>;

    /// The handlers of extended attributes: [`super_block::XattrHandlers::of`].
    fn xattr_handlers() -> super_block::XattrHandlers {
        super_block::XattrHandlers::NONE
    }

    /// Whether `name` in `dir` still is what `dentry` says. Asked for each use of a name; in a lockless walk as well
    /// ([`Confirm::may_block`]).
    fn revalidate(
        _dir: &Inode<Self>,
        _name: &[u8],
        _dentry: &Cached<Self>,
        _confirm: Confirm,
    ) -> Result<bool> {
        Ok(true)
    }

    /// What positions mean in an open file or directory.
    fn positions(_file: &Self::File) -> Positions {
        Positions::Any
    }

    /// Whether an inode without users holds what the server has not been told, so that it must not leave memory yet. Runs
    /// under the inode's spinlock.
    fn has_news(_inode: &Inode<Self>) -> bool {
        false
    }

    /// Tells the server of what changed of an inode but its data, and waits. With `all` now; else it may mark the inode
    /// dirty again and do so later.
    fn write_inode(_inode: &Inode<Self>, _all: bool) -> Result {
        Ok(())
    }

    /// Runs when an inode leaves memory, after its pages and layouts are gone.
    fn evict(_inode: &Inode<Self>, _unmounting: bool) {}

    /// Makes everything durable, and waits for it. Written pages were handed over before.
    fn sync(_root: &Inode<Self>) -> Result {
        Ok(())
    }

    /// Fills in what `statfs` reports.
    fn statfs(_root: &Inode<Self>, st: &mut super_block::StatFs) -> Result {
        st.bsize = kernel::page::PAGE_SIZE as u32;
        st.namelen = 255;
        Ok(())
    }

    /// Writes the mount options that differ from the defaults, each as `,key=value`.
    fn show_options(_sb: &SuperBlock<Self>, _out: &mut super_block::OptionWriter<'_>) -> Result {
        Ok(())
    }
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

    /// What all its mounts share.
    type Context: Send + Sync + 'static;
    /// Options while they are collected.
    type Options: Default + Send + 'static;

    /// Takes one option. An error ends the mount call with it.
    fn parse_param(
        _context: &Self::Context,
        _options: &mut Self::Options,
        _param: &Param<'_>,
    ) -> Result<Parsed> {
        Ok(Parsed::Unknown)
    }

    /// Finds what `source` names and makes a candidate for a super block of it.
    fn prepare(
        context: &Self::Context,
        options: &Call<'_, Self::Options>,
        source: Option<&CStr>,
    ) -> Result<Arc<<Self::Fs as FileSystem>::Super>>;

    /// Whether a live super block already serves what the candidate would; it is then shared. Must not sleep.
    fn same(
        _existing: &<Self::Fs as FileSystem>::Super,
        _candidate: &<Self::Fs as FileSystem>::Super,
    ) -> bool {
        false
    }

    /// Fills a new super block and returns its root inode.
    fn fill_super(
        sb: &SuperBlock<Self::Fs>,
        options: &Call<'_, Self::Options>,
    ) -> Result<inode::Ref<Self::Fs>>;

    /// Takes options for a super block that is in use. An error refuses the remount.
    fn reconfigure(_sb: &SuperBlock<Self::Fs>, _options: &Call<'_, Self::Options>) -> Result {
        Ok(())
    }
}

/// What all types of one file system have in common: the memory of its inodes, and who ends calls that nobody waits for.
pub(crate) struct Common<T: FileSystem> {
    cache: NonNull<bindings::kmem_cache>,
    queue: OwnedQueue,
    _fs: PhantomData<T>,
}

// SAFETY: A slab cache may be used and destroyed by every thread.
unsafe impl<T: FileSystem> Send for Common<T> {}
// SAFETY: As above.
unsafe impl<T: FileSystem> Sync for Common<T> {}

impl<T: FileSystem> Common<T> {
    /// Makes the slab cache. Once for each file system.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let queue = OwnedQueue::new(T::INODE_CACHE)?;
        let place = UniqueArc::new_uninit(GFP_KERNEL)?;
        let cache = super_block::create_cache::<T>()?;
        let _fs = PhantomData;
        Ok(place.write(Self { cache, queue, _fs }).into())
    }

    /// The cache that its inodes come from.
    pub(super) fn cache(&self) -> NonNull<bindings::kmem_cache> {
        self.cache
    }

    /// Where work goes that must have ended before the module does.
    pub(super) fn queue(&self) -> &OwnedQueue {
        &self.queue
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
    pub(super) context: Arc<M::Context>,
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
                (*fs).init_fs_context = Some(context::init::<M>);
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
    pub(super) unsafe fn of<'a>(fs: *mut bindings::file_system_type) -> &'a Self {
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
