// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs with read-only files: a set of them, and entries that live as long as somebody reads them; and empty
//! directories to mount on.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h), [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::bindings;
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    ptr::NonNull,
};
use kernel::{device::Device, error::to_result, prelude::*, str::CStr, types::Opaque};

/// Bytes that a file can show; sysfs complains of a whole page.
const ROOM: usize = kernel::page::PAGE_SIZE - 1;

/// What a directory is made of.
pub(crate) trait Folder: Send + Sync + Sized + 'static {
    /// Its files.
    const FILES: &'static [File<Self>];
}

/// What an entry of a set is made of.
pub(crate) trait Entry: Folder {
    /// The variable `KEY=value` of its events.
    fn event(&self) -> (&'static CStr, &[u8]);
}

/// A file of an entry.
#[repr(C)]
pub(crate) struct File<T> {
    attr: bindings::attribute,
    show: fn(&T, &mut Output<'_>) -> fmt::Result,
}

// SAFETY: A file is a constant: its name is static, and a function pointer may be called from every thread.
unsafe impl<T> Sync for File<T> {}

impl<T> File<T> {
    /// A file that everybody may read.
    pub(crate) const fn new(
        name: &'static CStr,
        show: fn(&T, &mut Output<'_>) -> fmt::Result,
    ) -> Self {
        // SAFETY: All zeroes is a valid attribute.
        let mut attr: bindings::attribute = unsafe { core::mem::zeroed() };
        attr.name = name.to_bytes_with_nul().as_ptr().cast();
        attr.mode = 0o444;
        Self { attr, show }
    }
}

/// Where a file's text goes; what does not fit is cut off.
pub(crate) struct Output<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl Output<'_> {
    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for (to, from) in self.room.iter_mut().skip(self.used).zip(bytes) {
            *to = *from;
            self.used += 1;
        }
    }
}

impl Write for Output<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

/// A directory below `/sys/fs` whose entries are of one kind.
///
/// # Invariants
///
/// The pointer is a registered set with a reference that is ours. All its entries are [`Object<T>`].
pub(crate) struct Set<T: Entry> {
    kset: NonNull<bindings::kset>,
    _entry: PhantomData<T>,
}

// SAFETY: Sets are made for use from every thread.
unsafe impl<T: Entry> Send for Set<T> {}
// SAFETY: As above.
unsafe impl<T: Entry> Sync for Set<T> {}

impl<T: Entry> Set<T> {
    const OPS: &'static bindings::kset_uevent_ops = &bindings::kset_uevent_ops {
        uevent: Some(uevent::<T>),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// Makes `/sys/fs/NAME`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when the name is taken.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: Name and table are static; `/sys/fs` is always there.
        let kset = unsafe {
            bindings::kset_create_and_add(name.as_char_ptr(), Self::OPS, bindings::fs_kobj)
        };
        // INVARIANT: Just made.
        Ok(Self {
            kset: NonNull::new(kset).ok_or(ENOMEM)?,
            _entry: PhantomData,
        })
    }

    /// Adds the entry NAME, with a link `device` to its device, and tells user space.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOMEM`.
    pub(crate) fn add(&self, name: &CStr, device: &Device, data: T) -> Result<Added<T>> {
        // SAFETY: By the type invariant.
        let added = unsafe { Object::add(self.kset.as_ptr(), core::ptr::null_mut(), name, data) }?;
        let kobj = added.kobj();
        let device: *const kernel::bindings::device = core::ptr::from_ref(device).cast();
        // SAFETY: Both objects are in sysfs. CAST: `Device` is a transparent wrapper, and the bindings are of one C type.
        unsafe {
            to_result(bindings::sysfs_create_link(
                kobj,
                (&raw const (*device).kobj).cast_mut().cast(),
                c"device".as_char_ptr(),
            ))?;
            // Nobody is lost by an event that could not be sent.
            bindings::kobject_uevent(kobj, bindings::kobject_action_KOBJ_ADD);
        }
        Ok(added)
    }
}

impl<T: Entry> Drop for Set<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Entries hold references to the set, so it outlives those that are left.
        unsafe { bindings::kset_unregister(self.kset.as_ptr()) };
    }
}

/// The memory of a directory.
struct Object<T: Folder> {
    kobj: Opaque<bindings::kobject>,
    data: T,
}

impl<T: Folder> Object<T> {
    /// Adds it to sysfs, below `parent` or, where that is null, to `kset`.
    ///
    /// # Safety
    ///
    /// Both are null or valid. Entries of the set are of this type.
    unsafe fn add(
        kset: *mut bindings::kset,
        parent: *mut bindings::kobject,
        name: &CStr,
        data: T,
    ) -> Result<Added<T>> {
        let object = KBox::new(
            Object {
                kobj: Opaque::zeroed(),
                data,
            },
            GFP_KERNEL,
        )?;
        let object = KBox::into_raw(object);
        // SAFETY: `object` came from a box. Once it is initialised its reference count owns it, also when adding fails: then
        // the only reference is dropped, and nothing else may be done with it. The name is copied.
        let added = unsafe {
            let kobj = Object::kobj(object);
            (*kobj).kset = kset;
            let r = to_result(bindings::kobject_init_and_add(
                kobj,
                Object::<T>::KTYPE,
                parent,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            ));
            if let Err(e) = r {
                bindings::kobject_put(kobj);
                return Err(e);
            }
            // INVARIANT: It was added, and the first reference goes to `added`.
            Added(NonNull::new_unchecked(object))
        };
        for file in T::FILES {
            // SAFETY: The object is in sysfs; the file is static.
            to_result(unsafe {
                bindings::sysfs_create_file_ns(added.kobj(), &file.attr, core::ptr::null())
            })?;
        }
        Ok(added)
    }

    const OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: None,
    };

    const KTYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(Self::release),
        sysfs_ops: &Self::OPS,
        // SAFETY: A type without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// The C object.
    ///
    /// # Safety
    ///
    /// `this` is valid.
    unsafe fn kobj(this: *mut Self) -> *mut bindings::kobject {
        // SAFETY: By the caller's promise.
        Opaque::cast_into(unsafe { &raw const (*this).kobj })
    }

    /// # Safety
    ///
    /// `kobj` is the member of a live `Self`.
    unsafe fn of(kobj: *mut bindings::kobject) -> *mut Self {
        // SAFETY: By the caller's promise.
        unsafe { kernel::container_of!(Opaque::cast_from(kobj), Self, kobj).cast_mut() }
    }

    /// # Safety
    ///
    /// For sysfs only: `kobj` is the member of a live `Self` that `attr`, one of [`Folder::FILES`], was added to; `buf` has a
    /// page, which is zeroed.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: As this function requires; the attribute is the first member of its file.
        let (data, file, room) = unsafe {
            (
                &(*Self::of(kobj)).data,
                &*attr.cast::<File<T>>(),
                core::slice::from_raw_parts_mut(buf.cast::<u8>(), ROOM),
            )
        };
        let mut out = Output { room, used: 0 };
        match (file.show)(data, &mut out) {
            Ok(()) => out.used as isize,
            Err(_) => EIO.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// For the reference count only: `kobj` is the member of a `Self` from a box that nobody refers to any more.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: The last reference is gone; the memory came from a box.
        drop(unsafe { KBox::from_raw(Self::of(kobj)) });
    }
}

/// # Safety
///
/// For the set only: `kobj` is a live entry of a [`Set<T>`], and `env` takes variables.
unsafe extern "C" fn uevent<T: Entry>(
    kobj: *const bindings::kobject,
    env: *mut bindings::kobj_uevent_env,
) -> c_int {
    // SAFETY: The set has entries of this kind only; the strings are copied.
    unsafe {
        let (key, value) = (*Object::<T>::of(kobj.cast_mut())).data.event();
        bindings::add_uevent_var(
            env,
            c"%s=%.*s".as_char_ptr(),
            key.as_char_ptr(),
            value.len() as c_int,
            value.as_ptr(),
        )
    }
}

/// An entry in a set, or a directory below one. Dropping it takes it out; readers that have it open keep the data alive.
///
/// # Invariants
///
/// The object was added to sysfs, and one reference is ours.
pub(crate) struct Added<T: Folder>(NonNull<Object<T>>);

// SAFETY: Objects are made for use from every thread.
unsafe impl<T: Folder> Send for Added<T> {}
// SAFETY: As above.
unsafe impl<T: Folder> Sync for Added<T> {}

impl<T: Folder> Added<T> {
    /// Adds the directory NAME below this one. It has to be dropped before this one is.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOMEM`.
    pub(crate) fn folder<C: Folder>(&self, name: &CStr, data: C) -> Result<Added<C>> {
        // SAFETY: This directory is valid, and the new one keeps a reference to it.
        unsafe { Object::add(core::ptr::null_mut(), self.kobj(), name, data) }
    }

    fn kobj(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant.
        unsafe { Object::kobj(self.0.as_ptr()) }
    }
}

impl<T: Folder> Drop for Added<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Deleting sends the event that it goes, and waits for readers.
        unsafe {
            bindings::kobject_del(self.kobj());
            bindings::kobject_put(self.kobj());
        }
    }
}

/// A directory below `/sys/fs` with an empty one in it, to mount on. Dropping it takes both away.
///
/// # Invariants
///
/// The pointer is a directory in sysfs with a reference that is ours, and the empty one is in it.
pub(crate) struct MountPoint {
    kobj: NonNull<bindings::kobject>,
    name: &'static CStr,
}

// SAFETY: Objects are made for use from every thread.
unsafe impl Send for MountPoint {}
// SAFETY: As above.
unsafe impl Sync for MountPoint {}

impl MountPoint {
    /// Makes `/sys/fs/DIR/NAME`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when `DIR` is taken.
    pub(crate) fn new(dir: &'static CStr, name: &'static CStr) -> Result<Self> {
        // SAFETY: `/sys/fs` is always there; the names are NUL-terminated. Without the empty directory the other one goes.
        unsafe {
            let kobj = bindings::kobject_create_and_add(dir.as_char_ptr(), bindings::fs_kobj);
            let kobj = NonNull::new(kobj).ok_or(ENOMEM)?;
            let made = bindings::sysfs_create_mount_point(kobj.as_ptr(), name.as_char_ptr());
            if let Err(e) = to_result(made) {
                bindings::kobject_put(kobj.as_ptr());
                return Err(e);
            }
            // INVARIANT: Just made.
            Ok(Self { kobj, name })
        }
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::sysfs_remove_mount_point(self.kobj.as_ptr(), self.name.as_char_ptr());
            bindings::kobject_put(self.kobj.as_ptr());
        }
    }
}
