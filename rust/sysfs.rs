// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs with read-only files: a set of them, and entries that live as long as somebody reads them.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h), [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::bindings;
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    ptr::NonNull,
};
use kernel::{device::Device, error::to_result, prelude::*, str::CStr, types::Opaque};

/// Bytes that a file can show.
const ROOM: usize = kernel::page::PAGE_SIZE;

/// What an entry is made of.
pub(crate) trait Entry: Send + Sync + Sized + 'static {
    /// Its files.
    const FILES: &'static [File<Self>];

    /// The variable `KEY=value` of its events.
    fn event(&self) -> (&'static CStr, &[u8]);
}

/// A file of an entry.
#[repr(C)]
pub(crate) struct File<T> {
    attr: bindings::attribute,
    show: fn(&T, &mut Output<'_>) -> fmt::Result,
}

// SAFETY: Files are constants.
unsafe impl<T> Sync for File<T> {}

impl<T> File<T> {
    /// A file that everybody may read.
    pub(crate) const fn new(
        name: &'static CStr,
        show: fn(&T, &mut Output<'_>) -> fmt::Result,
    ) -> Self {
        // SAFETY: All zeroes is a valid attribute.
        let mut attr: bindings::attribute = unsafe { core::mem::zeroed() };
        attr.name = name.as_ptr().cast();
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
/// The pointer is a registered set with a reference that is ours; `ops` is what it points to.
pub(crate) struct Set<T: Entry> {
    kset: NonNull<bindings::kset>,
    _ops: KBox<bindings::kset_uevent_ops>,
    _entry: PhantomData<T>,
}

// SAFETY: Sets are made for use from every thread.
unsafe impl<T: Entry> Send for Set<T> {}
// SAFETY: As above.
unsafe impl<T: Entry> Sync for Set<T> {}

impl<T: Entry> Set<T> {
    /// Makes `/sys/fs/NAME`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when the name is taken.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        let ops = KBox::new(
            bindings::kset_uevent_ops {
                uevent: Some(uevent::<T>),
                // SAFETY: A table without operations is valid.
                ..unsafe { core::mem::zeroed() }
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The name is static; the table lives as long as the set.
        let kset =
            unsafe { bindings::kset_create_and_add(name.as_char_ptr(), &*ops, bindings::fs_kobj) };
        // INVARIANT: Just made.
        Ok(Self {
            kset: NonNull::new(kset).ok_or(ENOMEM)?,
            _ops: ops,
            _entry: PhantomData,
        })
    }

    /// Adds the entry NAME, with a link `device` to its device, and tells user space.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOMEM`.
    pub(crate) fn add(&self, name: &CStr, device: &Device, data: T) -> Result<Added<T>> {
        let object = KBox::new(
            Object {
                kobj: Opaque::zeroed(),
                data,
            },
            GFP_KERNEL,
        )?;
        let object = KBox::into_raw(object);
        // SAFETY: The object is ours until it is initialised; from then on its reference count frees it. The name is copied.
        unsafe {
            let kobj = Opaque::cast_into(&raw const (*object).kobj);
            (*kobj).kset = self.kset.as_ptr();
            // INVARIANT: `added` owns the first reference.
            let added = Added(NonNull::new_unchecked(object));
            to_result(bindings::kobject_init_and_add(
                kobj,
                &Object::<T>::KTYPE,
                core::ptr::null_mut(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            ))?;
            for file in T::FILES {
                to_result(bindings::sysfs_create_file_ns(
                    kobj,
                    &file.attr,
                    core::ptr::null(),
                ))?;
            }
            to_result(bindings::sysfs_create_link(
                kobj,
                // `Device` is a transparent wrapper.
                (&raw const (*core::ptr::from_ref(device).cast::<kernel::bindings::device>()).kobj)
                    .cast_mut()
                    .cast(),
                c"device".as_char_ptr(),
            ))?;
            bindings::kobject_uevent(kobj, bindings::kobject_action_KOBJ_ADD);
            Ok(added)
        }
    }
}

impl<T: Entry> Drop for Set<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::kset_unregister(self.kset.as_ptr()) };
    }
}

/// The memory of an entry.
struct Object<T: Entry> {
    kobj: Opaque<bindings::kobject>,
    data: T,
}

impl<T: Entry> Object<T> {
    const OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: None,
    };

    const KTYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(Self::release),
        sysfs_ops: &Self::OPS,
        // SAFETY: A type without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// `kobj` is the member of a live `Self`.
    unsafe fn of(kobj: *mut bindings::kobject) -> *mut Self {
        // SAFETY: By the caller's promise.
        unsafe { kernel::container_of!(Opaque::cast_from(kobj), Self, kobj).cast_mut() }
    }

    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: The object lives during the call; the attribute is the first member of one of its files; the buffer has
        // a page.
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

    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: The last reference is gone; the memory came from a box.
        drop(unsafe { KBox::from_raw(Self::of(kobj)) });
    }
}

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

/// An entry in a set. Dropping it takes it out; readers that have it open keep the data alive.
///
/// # Invariants
///
/// One reference is ours.
pub(crate) struct Added<T: Entry>(NonNull<Object<T>>);

// SAFETY: Objects are made for use from every thread.
unsafe impl<T: Entry> Send for Added<T> {}
// SAFETY: As above.
unsafe impl<T: Entry> Sync for Added<T> {}

impl<T: Entry> Drop for Added<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Deleting sends the event that it goes, and waits for readers.
        unsafe {
            let kobj = Opaque::cast_into(&raw const (*self.0.as_ptr()).kobj);
            bindings::kobject_del(kobj);
            bindings::kobject_put(kobj);
        }
    }
}
