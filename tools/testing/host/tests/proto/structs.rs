// SPDX-License-Identifier: GPL-2.0

//! The list of all structs of the protocol, with their C names and fields.

/// Calls `$callback!` with every struct: `module::Type = "C name" { field, field = "C name", ... }`.
macro_rules! structs {
    ($callback:ident) => {
        $callback! {
            attr::Attr = "fuse_attr" {
                ino, size, blocks, atime, mtime, ctime, atimensec, mtimensec, ctimensec, mode,
                nlink, uid, gid, rdev, blksize, flags
            },
            attr::SxTime = "fuse_sx_time" { tv_sec, tv_nsec, reserved = "__reserved" },
            attr::Statx = "fuse_statx" {
                mask, blksize, attributes, nlink, uid, gid, mode, spare0 = "__spare0", ino, size,
                blocks, attributes_mask, atime, btime, ctime, mtime, rdev_major, rdev_minor,
                dev_major, dev_minor, spare2 = "__spare2"
            },
            statfs::Kstatfs = "fuse_kstatfs" {
                blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare
            },
            lock::FileLock = "fuse_file_lock" { start, end, typ = "type", pid },
            attr::EntryOut = "fuse_entry_out" {
                nodeid, generation, entry_valid, attr_valid, entry_valid_nsec, attr_valid_nsec, attr
            },
            dir::ForgetIn = "fuse_forget_in" { nlookup },
            dir::ForgetOne = "fuse_forget_one" { nodeid, nlookup },
            dir::BatchForgetIn = "fuse_batch_forget_in" { count, dummy },
            attr::GetattrIn = "fuse_getattr_in" { getattr_flags, dummy, fh },
            attr::AttrOut = "fuse_attr_out" { attr_valid, attr_valid_nsec, dummy, attr },
            attr::StatxIn = "fuse_statx_in" { getattr_flags, reserved, fh, sx_flags, sx_mask },
            attr::StatxOut = "fuse_statx_out" { attr_valid, attr_valid_nsec, flags, spare, stat },
            dir::MknodIn = "fuse_mknod_in" { mode, rdev, umask, padding },
            dir::MkdirIn = "fuse_mkdir_in" { mode, umask },
            dir::RenameIn = "fuse_rename_in" { newdir },
            dir::Rename2In = "fuse_rename2_in" { newdir, flags, padding },
            dir::LinkIn = "fuse_link_in" { oldnodeid },
            attr::SetattrIn = "fuse_setattr_in" {
                valid, padding, fh, size, lock_owner, atime, mtime, ctime, atimensec, mtimensec,
                ctimensec, mode, unused4, uid, gid, unused5
            },
            file::OpenIn = "fuse_open_in" { flags, open_flags },
            file::CreateIn = "fuse_create_in" { flags, mode, umask, open_flags },
            file::OpenOut = "fuse_open_out" { fh, open_flags, backing_id },
            file::ReleaseIn = "fuse_release_in" { fh, flags, release_flags, lock_owner },
            file::FlushIn = "fuse_flush_in" { fh, unused, padding, lock_owner },
            file::ReadIn = "fuse_read_in" { fh, offset, size, read_flags, lock_owner, flags, padding },
            file::WriteIn = "fuse_write_in" {
                fh, offset, size, write_flags, lock_owner, flags, padding
            },
            file::WriteOut = "fuse_write_out" { size, padding },
            statfs::StatfsOut = "fuse_statfs_out" { st },
            file::FsyncIn = "fuse_fsync_in" { fh, fsync_flags, padding },
            xattr::SetxattrIn = "fuse_setxattr_in" { size, flags, setxattr_flags, padding },
            xattr::GetxattrIn = "fuse_getxattr_in" { size, padding },
            xattr::GetxattrOut = "fuse_getxattr_out" { size, padding },
            lock::LkIn = "fuse_lk_in" { fh, owner, lk, lk_flags, padding },
            lock::LkOut = "fuse_lk_out" { lk },
            dir::AccessIn = "fuse_access_in" { mask, padding },
            init::InitIn = "fuse_init_in" { major, minor, max_readahead, flags, flags2, unused },
            init::InitOut = "fuse_init_out" {
                major, minor, max_readahead, flags, max_background, congestion_threshold, max_write,
                time_gran, max_pages, map_alignment, flags2, max_stack_depth, request_timeout,
                unused
            },
            init::CuseInitIn = "cuse_init_in" { major, minor, unused, flags },
            init::CuseInitOut = "cuse_init_out" {
                major, minor, unused, flags, max_read, max_write, dev_major, dev_minor, spare
            },
            dir::InterruptIn = "fuse_interrupt_in" { unique },
            file::BmapIn = "fuse_bmap_in" { block, blocksize, padding },
            file::BmapOut = "fuse_bmap_out" { block },
            file::IoctlIn = "fuse_ioctl_in" { fh, flags, cmd, arg, in_size, out_size },
            file::IoctlIovec = "fuse_ioctl_iovec" { base, len },
            file::IoctlOut = "fuse_ioctl_out" { result, flags, in_iovs, out_iovs },
            file::PollIn = "fuse_poll_in" { fh, kh, flags, events },
            file::PollOut = "fuse_poll_out" { revents, padding },
            notify::NotifyPollWakeupOut = "fuse_notify_poll_wakeup_out" { kh },
            file::FallocateIn = "fuse_fallocate_in" { fh, offset, length, mode, padding },
            header::InHeader = "fuse_in_header" {
                len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
            },
            header::OutHeader = "fuse_out_header" { len, error, unique },
            dir::Dirent = "fuse_dirent" { ino, off, namelen, typ = "type" },
            dir::Direntplus = "fuse_direntplus" { entry_out, dirent },
            notify::NotifyInvalInodeOut = "fuse_notify_inval_inode_out" { ino, off, len },
            notify::NotifyInvalEntryOut = "fuse_notify_inval_entry_out" { parent, namelen, flags },
            notify::NotifyDeleteOut = "fuse_notify_delete_out" { parent, child, namelen, padding },
            notify::NotifyStoreOut = "fuse_notify_store_out" { nodeid, offset, size, padding },
            notify::NotifyRetrieveOut = "fuse_notify_retrieve_out" {
                notify_unique, nodeid, offset, size, padding
            },
            notify::NotifyRetrieveIn = "fuse_notify_retrieve_in" {
                dummy1, offset, size, dummy2, dummy3, dummy4
            },
            notify::NotifyPruneOut = "fuse_notify_prune_out" { count, padding, spare },
            device::BackingMap = "fuse_backing_map" { fd, flags, padding },
            file::LseekIn = "fuse_lseek_in" { fh, offset, whence, padding },
            file::LseekOut = "fuse_lseek_out" { offset },
            file::CopyFileRangeIn = "fuse_copy_file_range_in" {
                fh_in, off_in, nodeid_out, fh_out, off_out, len, flags
            },
            file::CopyFileRangeOut = "fuse_copy_file_range_out" { bytes_copied },
            dax::SetupmappingIn = "fuse_setupmapping_in" { fh, foffset, len, flags, moffset },
            dax::RemovemappingIn = "fuse_removemapping_in" { count },
            dax::RemovemappingOne = "fuse_removemapping_one" { moffset, len },
            file::SyncfsIn = "fuse_syncfs_in" { padding },
            ext::Secctx = "fuse_secctx" { size, padding },
            ext::SecctxHeader = "fuse_secctx_header" { size, nr_secctx },
            ext::ExtHeader = "fuse_ext_header" { size, typ = "type" },
            ext::SuppGroups = "fuse_supp_groups" { nr_groups },
            device::UringEntInOut = "fuse_uring_ent_in_out" {
                flags, commit_id, payload_sz, padding, reserved
            },
            device::UringReqHeader = "fuse_uring_req_header" { in_out, op_in, ring_ent_in_out },
            device::UringCmdReq = "fuse_uring_cmd_req" { flags, commit_id, qid, padding },
        }
    };
}

pub(crate) use structs;
