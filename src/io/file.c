// SPDX-License-Identifier: MIT
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Whether the user named an impossible path (bad input), or the system let us down.
static enum tt_status status_of(int error) {
    switch (error) {
    case ENOENT: case ENOTDIR: case EISDIR: case EACCES: case EPERM:
    case EROFS: case ELOOP: case ENAMETOOLONG: case EINVAL:
        return TT_BAD_INPUT;
    default:
        return TT_SYSTEM;
    }
}

enum tt_status tt_file_map(const char *path, struct tt_bytes *out, struct tt_error *err) {
    *out = (struct tt_bytes){(const unsigned char *)"", 0, 0};
    // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return tt_fail(err, status_of(errno), "%s: cannot open: %s", path, strerror(errno));
    enum tt_status status = TT_OK;
    struct stat info;
    if (fstat(fd, &info)) {
        status = tt_fail(err, TT_SYSTEM, "%s: cannot stat: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected a file", path,
                         S_ISDIR(info.st_mode) ? "a directory" : "a special file");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = tt_fail(err, TT_SYSTEM, "%s: cannot map %lld bytes: %s", path,
                             (long long)info.st_size, strerror(errno));
        else
            *out = (struct tt_bytes){data, (size_t)info.st_size, 1};
    }
    close(fd);
    return status;
}

void tt_bytes_free(struct tt_bytes *bytes) {
    if (bytes->mapped) munmap((void *)bytes->data, bytes->size);
    *bytes = (struct tt_bytes){0};
}

static int write_all(int fd, const struct tt_span *span) {
    const char *data = span->data;
    for (size_t left = span->size; left;) {
        ssize_t done = write(fd, data, left < (1u << 30) ? left : (1u << 30));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return 0;
        data += done;
        left -= (size_t)done;
    }
    return 1;
}

// The rename itself reaches the disk with the directory. A file system that cannot flush a
// directory is no reason to fail.
static void sync_directory(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) : 1;
    snprintf(folder, sizeof folder, "%.*s%s", length, slash ? path : ".", length ? "" : "/");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

enum tt_status tt_file_write(const char *path, const struct tt_span *spans, size_t count,
                             struct tt_error *err) {
    char target[PATH_MAX], part[PATH_MAX + 32];
    struct stat info;
    int exists = !stat(path, &info);
    if (!*path) return tt_fail(err, TT_BAD_INPUT, "cannot write a file with an empty name");
    if (exists && S_ISDIR(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a directory, expected a file to write", path);
    int straight = exists && !S_ISREG(info.st_mode);
    // Through a symbolic link, the file it names is replaced, not the link.
    if (!exists || !realpath(path, target)) {
        if (strlen(path) >= sizeof target)
            return tt_fail(err, TT_BAD_INPUT, "path of %zu bytes is too long", strlen(path));
        strcpy(target, path);
    }
    snprintf(part, sizeof part, "%s.%ld.part", target, (long)getpid());
    const char *name = straight ? path : part;
    int fd = open(name, straight ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                  0666);
    if (fd < 0)
        return tt_fail(err, status_of(errno), "%s: cannot create: %s", path, strerror(errno));
    int good = 1;
    for (size_t i = 0; i < count && good; i++) good = write_all(fd, &spans[i]);
    if (good && !straight) good = !fsync(fd);
    int error = errno;
    if (close(fd) && good) good = 0, error = errno;
    if (good && !straight && rename(part, target)) good = 0, error = errno;
    if (!good) {
        if (!straight) unlink(part);
        return tt_fail(err, TT_SYSTEM, "%s: cannot write: %s", path, strerror(error));
    }
    if (!straight) sync_directory(target);
    return TT_OK;
}

enum tt_status tt_write_file(const char *path, const void *data, size_t size,
                             struct tt_error *err) {
    return tt_file_write(path, &(struct tt_span){data, size}, 1, err);
}
