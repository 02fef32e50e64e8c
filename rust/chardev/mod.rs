// SPDX-License-Identifier: GPL-2.0

//! Miscellaneous character devices whose files are read, written and polled, and found again by their descriptor.
//!
//! - [`user`]: what such calls copy from and to;
//! - [`splice`] and [`message`]: pipes in place of memory, to read into and to write from.
//!
//! `kernel::miscdevice` has neither `poll` nor a way to tell whether a descriptor that a user hands in is a file of ours.
//! No locks: what a file holds is set before the file can be used and given up after its last use.
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod message;
mod splice;
mod user;

pub(crate) use user::{FromUser, ToUser};

use crate::{bindings, sync::WaitQueue, vfs::file::AnyFile};
use core::marker::{PhantomData, PhantomPinned};
use kernel::{
    error::to_result,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    seq_file::SeqFile,
    str::CStr,
    sync::{Arc, ArcBorrow},
    types::Opaque,
};

/// A device, by what an open file of it holds.
pub(crate) trait CharDevice: Send + Sync + Sized + 'static {
    /// Its name in `/dev`.
    const NAME: &'static CStr;
    /// Its minor number among the miscellaneous devices.
    const MINOR: u32;

    /// Makes what a new file holds.
    fn open() -> Result<Arc<Self>>;

    /// The file is gone.
    fn release(this: &Self);

    /// Copies something to the user.
    fn read(this: ArcBorrow<'_, Self>, to: &mut ToUser<'_, '_>, nonblock: bool) -> Result<usize>;

    /// Takes something from the user.
    fn write(this: ArcBorrow<'_, Self>, from: &mut FromUser<'_, '_>) -> Result<usize>;

    /// What is woken when [`Self::ready`] changes; without one it does not change. It is part of what the file holds, so it lives
    /// as long as the file.
    fn poll_queue(this: &Self) -> Option<&WaitQueue>;

    /// What can be done without waiting.
    fn ready(this: ArcBorrow<'_, Self>) -> Ready;

    /// What is told by a signal when there is something to read, `EPERM` while there is nothing that could be.
    fn signal_list(this: &Self) -> Result<&SignalList>;

    /// Does what `cmd` says; `ENOTTY` for one that the device does not have.
    fn ioctl(
        this: ArcBorrow<'_, Self>,
        cmd: u32,
        arg: usize,
        files: Files<'_, Self>,
    ) -> Result<i32>;

    /// Writes lines into `/proc/PID/fdinfo/FD`.
    fn show_fdinfo(this: ArcBorrow<'_, Self>, out: &SeqFile);
}

/// What poll says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ready {
    /// Writing is possible.
    Write,
    /// Reading and writing are possible.
    ReadWrite,
    /// The device failed.
    Error,
}

impl Ready {
    fn mask(self) -> bindings::__poll_t {
        const IN: u32 = 0x0001 | 0x0040;
        const OUT: u32 = 0x0004 | 0x0100;
        const ERR: u32 = 0x0008;
        match self {
            Self::Write => OUT,
            Self::ReadWrite => IN | OUT,
            Self::Error => ERR,
        }
    }
}

/// Open files whose owners asked for `SIGIO`.
pub(crate) struct SignalList(Opaque<*mut bindings::fasync_struct>);

// SAFETY: The list is only touched by C, which locks it.
unsafe impl Send for SignalList {}
// SAFETY: As above.
unsafe impl Sync for SignalList {}

impl SignalList {
    /// Nobody asked.
    pub(crate) fn new() -> Self {
        Self(Opaque::new(core::ptr::null_mut()))
    }

    /// Tells everybody who asked that there is something to read.
    pub(crate) fn tell_readable(&self) {
        // SAFETY: The list is valid; an empty one is nothing.
        unsafe { bindings::rust_fuse_kill_fasync_in(self.0.get()) };
    }
}

/// Finds files of this device by descriptor.
pub(crate) struct Files<'a, T: CharDevice> {
    ops: *const bindings::file_operations,
    _device: PhantomData<(&'a (), T)>,
}

impl<T: CharDevice> Files<'_, T> {
    /// What an open file holds, if it is one of this device.
    pub(crate) fn of(&self, file: &AnyFile) -> Option<Arc<T>> {
        let file = file.as_raw();
        // SAFETY: The file is referenced. With our table its private data is an `Arc<T>`, which lives as long as the file.
        unsafe {
            if (*file).f_op != self.ops {
                return None;
            }
            let data = ArcBorrow::from_raw((*file).private_data.cast::<T>().cast_const());
            Some(data.into())
        }
    }
}

/// A registered device. Dropping it takes it away from `/dev`; open files keep the module in use.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: CharDevice> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    ops: KBox<Opaque<bindings::file_operations>>,
    registered: bool,
    #[pin]
    _pin: PhantomPinned,
    _device: PhantomData<T>,
}

// SAFETY: The device is only reached through functions that may be called from every thread.
unsafe impl<T: CharDevice> Send for Registration<T> {}
// SAFETY: As above; `&Registration` offers nothing that changes it.
unsafe impl<T: CharDevice> Sync for Registration<T> {}

impl<T: CharDevice> Registration<T> {
    /// Registers the device.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the minor number is in use, as it is while the C module is loaded.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            ops: KBox::new(
                Opaque::new(bindings::file_operations {
                    owner: module.as_ptr().cast(),
                    ..Wrap::<T>::TABLE
                }),
                GFP_KERNEL
            )?,
            registered: false,
            misc <- Opaque::ffi_init(|misc: *mut bindings::miscdevice| {
                // SAFETY: `misc` is valid for writes; all zeroes is a valid device that is not registered.
                unsafe {
                    misc.write(pin_init::zeroed());
                    (*misc).minor = T::MINOR as c_int;
                    (*misc).name = T::NAME.as_char_ptr();
                    (*misc).fops = ops.get();
                }
            }),
            _pin: PhantomPinned,
            _device: PhantomData,
        })
        .pin_chain(|this: Pin<&mut Self>| {
            // SAFETY: Nothing is moved out; only a flag is set.
            let this = unsafe { this.get_unchecked_mut() };
            // SAFETY: The device is initialised, pinned, and deregistered before it goes away.
            to_result(unsafe { bindings::misc_register(this.misc.get()) })?;
            this.registered = true;
            Ok(())
        })
    }

    /// Finds files of this device by descriptor.
    pub(crate) fn files(&self) -> Files<'_, T> {
        Files {
            ops: self.ops.get(),
            _device: PhantomData,
        }
    }
}

#[pinned_drop]
impl<T: CharDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.registered {
            // SAFETY: It was registered. Open files hold the module, so there are none.
            unsafe { bindings::misc_deregister(self.misc.get()) };
        }
    }
}

/// Wrappers of [`CharDevice`].
struct Wrap<T: CharDevice>(PhantomData<T>);

impl<T: CharDevice> Wrap<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        splice_read: Some(splice::read::<T>),
        splice_write: Some(message::write::<T>),
        poll: Some(Self::poll),
        fasync: Some(Self::fasync),
        unlocked_ioctl: Some(Self::ioctl),
        compat_ioctl: Some(Self::compat_ioctl),
        show_fdinfo: Some(Self::show_fdinfo),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// `file` was opened by [`Self::open`] and is not released during `'a`.
    unsafe fn data<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: By the caller's promise the private data is what `open` put there.
        unsafe { ArcBorrow::from_raw((*file).private_data.cast::<T>().cast_const()) }
    }

    /// # Safety
    ///
    /// For the VFS only: `file` is being opened.
    unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        match T::open() {
            Ok(data) => {
                // SAFETY: The file is ours to fill; `release` takes the reference back.
                unsafe { (*file).private_data = Arc::into_raw(data).cast_mut().cast() };
                0
            }
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `file` was opened by [`Self::open`], and this is its end.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` put the reference there; nobody uses the file any more.
        let data = unsafe { Arc::from_raw((*file).private_data.cast::<T>().cast_const()) };
        T::release(&data);
        0
    }

    /// # Safety
    ///
    /// For the VFS only: both are valid, and the file was opened by [`Self::open`].
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        to: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: As this function requires; the iterator is a destination and nobody else's during the call.
        let (data, to, flags) = unsafe {
            let file = (*iocb).ki_filp;
            (
                Self::data(file),
                IovIterDest::from_raw(to.cast()),
                (&raw const (*file).f_flags).read_volatile(),
            )
        };
        crate::vfs::to_len(T::read(
            data,
            &mut ToUser::memory_of_call(to),
            flags & bindings::O_NONBLOCK != 0,
        ))
    }

    /// # Safety
    ///
    /// As for [`Self::read_iter`].
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: As in `read_iter`; the iterator is a source.
        let (data, from) = unsafe {
            (
                Self::data((*iocb).ki_filp),
                IovIterSource::from_raw(from.cast()),
            )
        };
        crate::vfs::to_len(T::write(data, &mut FromUser::memory_of_call(from)))
    }

    /// # Safety
    ///
    /// For the VFS only: both are valid, and the file was opened by [`Self::open`].
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: As this function requires.
        let data = unsafe { Self::data(file) };
        if let Some(queue) = T::poll_queue(&data) {
            // SAFETY: File and table are valid for the call. The queue is part of what the file holds, which only goes when the
            // file is released, and by then the poll table is torn down.
            unsafe { bindings::rust_fuse_poll_wait(file, queue.as_raw(), table) };
        }
        T::ready(data).mask()
    }

    /// # Safety
    ///
    /// For the VFS only: the file was opened by [`Self::open`].
    unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        // SAFETY: As this function requires.
        let data = unsafe { Self::data(file) };
        match T::signal_list(&data) {
            // SAFETY: As above. The list is part of what the file holds, and the VFS takes the file off before it is released.
            Ok(list) => unsafe { bindings::fasync_helper(fd, file, on, list.0.get()) },
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the VFS only: the file was opened by [`Self::open`].
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: As this function requires.
        let (data, ops) = unsafe { (Self::data(file), (*file).f_op) };
        let files = Files {
            ops,
            _device: PhantomData,
        };
        match T::ioctl(data, cmd, arg, files) {
            Ok(n) => n as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// As for [`Self::ioctl`].
    unsafe extern "C" fn compat_ioctl(
        file: *mut bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: As this function requires. Arguments are pointers, of 32 bits here.
        unsafe { Self::ioctl(file, cmd, arg as u32 as c_ulong) }
    }

    /// # Safety
    ///
    /// For the VFS only: both are valid, and the file was opened by [`Self::open`].
    unsafe extern "C" fn show_fdinfo(seq: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: As this function requires.
        unsafe { T::show_fdinfo(Self::data(file), SeqFile::from_raw(seq.cast())) };
    }
}
