// SPDX-License-Identifier: MIT
// Weights are mapped. When their file is cut short, or its disk fails, the pages that are not there
// raise SIGBUS in whoever reads them: the program then says which file it was, and ends. Nothing
// here but calls that are allowed in the handler of a signal.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

// Characters of a file that is read a piece at a time; -1 at its end.
struct reader {
    int fd;
    size_t at, size;
    char data[512];
};

static int next(struct reader *r) {
    if (r->at == r->size) {
        ssize_t got = read(r->fd, r->data, sizeof r->data);
        if (got <= 0) return -1;
        r->at = 0;
        r->size = (size_t)got;
    }
    return (unsigned char)r->data[r->at++];
}

// Reads a hexadecimal number and the character after it.
static uintptr_t hexadecimal(struct reader *r, int *after) {
    uintptr_t value = 0;
    for (int c;; value = value * 16 + (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10)) {
        c = *after = next(r);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return value;
    }
}

// The path of the file that is mapped at address, cut to size; false: none is. Lines of maps are
// "begin-end permissions offset device inode      path".
static bool find_path(uintptr_t address, char *path, size_t size) {
    struct reader r = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    bool found = false;
    if (r.fd < 0) return false;
    for (int c = 0; !found && c != -1;) {
        uintptr_t begin = hexadecimal(&r, &c), end = c == '-' ? hexadecimal(&r, &c) : 0;
        size_t length = 0;
        found = address >= begin && address < end;
        while (c != -1 && c != '\n' && c != '/') c = next(&r); // no field before it holds a slash
        for (; c != -1 && c != '\n'; c = next(&r))
            if (length + 1 < size) path[length++] = (char)c;
        path[length] = 0;
        found = found && length;
    }
    close(r.fd);
    return found;
}

static void say(const char *text) {
    size_t length = strlen(text);
    if (write(STDERR_FILENO, text, length) < 0) _exit(TT_SYSTEM); // nobody hears it: the same end
}

static void report(int number, siginfo_t *info, void *context) {
    (void)context;
    char path[4096];
    if (info->si_code != BUS_ADRERR || !find_path((uintptr_t)info->si_addr, path, sizeof path)) {
        signal(number, SIG_DFL); // not ours
        raise(number);
        return;
    }
    say("tintype: ");
    for (size_t bytes, i = 0; path[i]; i += bytes) {
        bool shown = cli_is_shown(path + i, &bytes);
        char after = path[i + bytes];
        path[i + bytes] = 0;
        say(shown ? path + i : "?");
        path[i + bytes] = after;
    }
    say(": cannot read what is mapped: the file was cut short while it was used, or its disk "
        "failed\n");
    _exit(TT_SYSTEM);
}

void cli_catch_lost_pages(void) {
    struct sigaction action = {0};
    action.sa_sigaction = report;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, NULL);
}
