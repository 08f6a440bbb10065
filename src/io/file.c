// SPDX-License-Identifier: MIT
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files.h"

static enum tt_status open_file(struct tt_files *files, const char *path, int *fd,
                                struct stat *info, struct tt_error *err) {
    // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s", path,
                       strerror(errno));
    enum tt_status status = TT_OK;
    if (fstat(*fd, info))
        status = tt_fail(err, TT_SYSTEM, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(info->st_mode))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected a file", path,
                         S_ISDIR(info->st_mode) ? "a directory" : "a special file");
    if (!status) status = tt_files_note(files, path, info, err);
    if (status) close(*fd);
    return status;
}

enum tt_status tt_file_map(struct tt_files *files, const char *path, struct tt_bytes *out,
                           struct tt_error *err) {
    int fd;
    struct stat info;
    *out = (struct tt_bytes){.data = (const unsigned char *)""};
    enum tt_status status = open_file(files, path, &fd, &info, err);
    if (status) return status;
    if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = tt_fail(err, TT_SYSTEM, "%s: cannot map %lld bytes: %s", path,
                             (long long)info.st_size, strerror(errno));
        else
            *out = (struct tt_bytes){data, (size_t)info.st_size, TT_BYTES_MAPPED, fd};
    }
    if (out->kind != TT_BYTES_MAPPED) close(fd);
    return status;
}

// Reads until the end, which may come earlier than the size said.
static enum tt_status read_all(struct tt_files *files, int fd, const char *path,
                               unsigned char *data, size_t size, size_t *used,
                               struct tt_error *err) {
    const size_t piece = (size_t)16 << 20;
    for (*used = 0; *used < size;) {
        if (tt_poll_cancelled(tt_files_poll(files)))
            return tt_fail(err, TT_CANCELLED, "cancelled while reading %s", path);
        ssize_t done = read(fd, data + *used, size - *used < piece ? size - *used : piece);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0)
            return tt_fail(err, TT_SYSTEM, "%s: cannot read: %s", path, strerror(errno));
        if (!done) break;
        *used += (size_t)done;
    }
    return TT_OK;
}

enum tt_status tt_file_read(struct tt_files *files, const char *path, struct tt_bytes *out,
                            struct tt_error *err) {
    int fd;
    struct stat info;
    *out = (struct tt_bytes){.data = (const unsigned char *)""};
    enum tt_status status = open_file(files, path, &fd, &info, err);
    if (status) return status;
    unsigned char *data = NULL;
    size_t used = 0;
    if (info.st_size > TT_FILE_MOST)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %lld bytes, expected at most %d", path,
                         (long long)info.st_size, TT_FILE_MOST);
    else if (!(data = malloc((size_t)info.st_size + 1)))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %lld bytes", path,
                         (long long)info.st_size);
    else
        status = read_all(files, fd, path, data, (size_t)info.st_size, &used, err);
    close(fd);
    if (status) free(data);
    else *out = (struct tt_bytes){data, used, TT_BYTES_READ, -1};
    return status;
}

bool tt_bytes_are_whole(const struct tt_bytes *bytes) {
    struct stat info;
    return bytes->kind != TT_BYTES_MAPPED ||
           (!fstat(bytes->fd, &info) && (size_t)info.st_size >= bytes->size);
}

void tt_bytes_release(const struct tt_bytes *bytes, const void *part, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)part;
    uintptr_t first = (begin + page - 1) / page * page, end = (begin + size) / page * page;
    if (bytes->kind != TT_BYTES_MAPPED || begin - (uintptr_t)bytes->data >= bytes->size) return;
    if (size <= (size_t)1 << 16 || first >= end) return; // not worth a call
    madvise((void *)first, end - first, MADV_DONTNEED);
}

void tt_bytes_free(struct tt_bytes *bytes) {
    if (bytes->kind == TT_BYTES_MAPPED) {
        munmap((void *)bytes->data, bytes->size);
        close(bytes->fd);
    }
    if (bytes->kind == TT_BYTES_READ) free((void *)bytes->data);
    *bytes = (struct tt_bytes){0};
}
