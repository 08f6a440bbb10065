// SPDX-License-Identifier: MIT
// Files that are written: whole or not at all, never over what is read, nothing of others removed.
#include "io/writer.h"
#include "tintype.h"

#include "util.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[512];

static const char *in(const char *name) {
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void begin(const char *name) {
    snprintf(folder, sizeof folder, "%s", test_path(name));
    ck_assert_int_eq(mkdir(folder, 0755), 0);
}

static void put(const char *name, const char *text) {
    FILE *file = fopen(in(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void holds(const char *name, const char *text) {
    size_t size;
    char *found = test_read(in(name), &size);
    ck_assert_str_eq(found, text);
    free(found);
}

static bool there(const char *name) {
    struct stat info;
    return !lstat(in(name), &info);
}

static size_t entries(const char *path) {
    DIR *directory = opendir(path);
    size_t count = 0;
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count - 2;
}

static enum tt_status save(struct tt_files *files, const char *name, const char *text,
                           struct tt_error *err) {
    *err = (struct tt_error){0};
    return tt_write_file(files, in(name), text, strlen(text), err);
}

static struct tt_files *new_files(void) {
    struct tt_files *files = NULL;
    ck_assert(!tt_files_new(NULL, NULL, &files, NULL));
    return files;
}

START_TEST(modes_and_links_stay) {
    struct tt_error err;
    struct stat info;
    begin("modes");
    umask(022);
    ck_assert_msg(!save(NULL, "new", "1", &err), "%s", err.message);
    ck_assert(!stat(in("new"), &info) && (info.st_mode & 07777) == 0644);
    ck_assert_int_eq(chmod(in("new"), 0600), 0);
    ck_assert_msg(!save(NULL, "new", "2", &err), "%s", err.message);
    ck_assert(!stat(in("new"), &info) && (info.st_mode & 07777) == 0600);
    ck_assert_int_eq(symlink("new", in("link")), 0);
    ck_assert_msg(!save(NULL, "link", "3", &err), "%s", err.message);
    ck_assert(!lstat(in("link"), &info) && S_ISLNK(info.st_mode));
    holds("new", "3");
    // A link names its file before there is one; through another link, and from another folder.
    ck_assert_int_eq(mkdir(in("far"), 0755), 0);
    ck_assert_int_eq(symlink("far/later", in("dangling")), 0);
    ck_assert_int_eq(symlink("dangling", in("chain")), 0);
    ck_assert_msg(!save(NULL, "chain", "4", &err), "%s", err.message);
    holds("far/later", "4");
    ck_assert(!lstat(in("dangling"), &info) && S_ISLNK(info.st_mode));
    ck_assert_int_eq(symlink("loop", in("loop")), 0);
    ck_assert_int_eq(save(NULL, "loop", "5", &err), TT_BAD_INPUT);
    ck_assert_int_eq(save(NULL, "none/x", "5", &err), TT_BAD_INPUT);
    ck_assert_int_eq(save(NULL, "far/", "5", &err), TT_BAD_INPUT);
    ck_assert_int_eq(save(NULL, "far", "5", &err), TT_BAD_INPUT);
    ck_assert_int_eq(entries(folder), 6);
    char name[260];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    ck_assert_msg(!tt_files_plan(NULL, in(name), &err), "%s", err.message);
    ck_assert_msg(!save(NULL, name, "255", &err), "%s", err.message);
    holds(name, "255");
    name[255] = 'n';
    name[256] = 0;
    ck_assert_int_eq(tt_files_plan(NULL, in(name), NULL), TT_BAD_INPUT);
    ck_assert_int_eq(save(NULL, name, "256", &err), TT_BAD_INPUT);
}
END_TEST

START_TEST(nothing_read_is_replaced) {
    struct tt_error err = {0};
    struct tt_files *files = new_files();
    begin("reads");
    put("photo", "mine");
    put("other", "mine");
    ck_assert_int_eq(link(in("photo"), in("hard")), 0);
    ck_assert_int_eq(symlink("photo", in("soft")), 0);
    ck_assert_int_eq(mkdir(in("sub"), 0755), 0);
    ck_assert_int_eq(symlink("..", in("sub/up")), 0);
    ck_assert_msg(!tt_files_read(files, in("photo"), &err), "%s", err.message);
    static const char *const names[] = {"photo", "hard", "soft", "./photo", "sub/up/photo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_files_plan(files, in(names[i]), &err), TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, "is read (as "), "%s", err.message);
        ck_assert_int_eq(save(files, names[i], "gone", &err), TT_BAD_INPUT);
    }
    holds("photo", "mine");
    ck_assert_int_eq(tt_files_read(files, in("nowhere"), NULL), TT_BAD_INPUT);
    // What is not read may be replaced.
    ck_assert_msg(!save(files, "other", "new", &err), "%s", err.message);
    holds("other", "new");
    tt_files_free(files);
}
END_TEST

START_TEST(outputs_are_two_files) {
    struct tt_error err = {0};
    struct tt_files *files = new_files();
    begin("twice");
    put("b", "");
    ck_assert_int_eq(link(in("b"), in("c")), 0);
    ck_assert_int_eq(symlink("a", in("to-a")), 0);
    ck_assert_msg(!tt_files_plan(files, in("a"), &err), "%s", err.message);
    ck_assert_int_eq(tt_files_plan(files, in("a"), NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_files_plan(files, in("./a"), NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_files_plan(files, in("to-a"), &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "written twice"), "%s", err.message);
    ck_assert(!tt_files_plan(files, in("b"), NULL));
    ck_assert_int_eq(tt_files_plan(files, in("c"), NULL), TT_BAD_INPUT);
    ck_assert(!tt_files_plan(files, "/dev/null", NULL) && !tt_files_plan(files, "/dev/null", NULL));
    // The same file again is its new state; under another name it is lost.
    ck_assert(!save(files, "a", "1", &err) && !save(files, "a", "2", &err));
    ck_assert_int_eq(link(in("a"), in("d")), 0);
    ck_assert_int_eq(save(files, "d", "3", &err), TT_BAD_INPUT);
    holds("a", "2");
    tt_files_free(files);
}
END_TEST

START_TEST(only_own_files_are_removed) {
    struct tt_error err;
    struct tt_files *files = new_files();
    begin("remove");
    put("foreign", "mine");
    ck_assert(!tt_files_remove(files, in("foreign"), NULL) && there("foreign"));
    ck_assert(!save(files, "own", "1", &err));
    ck_assert(!tt_files_remove(files, in("own"), NULL) && !there("own"));
    ck_assert(!tt_files_remove(files, in("own"), NULL));
    // Written by us, then replaced by somebody.
    ck_assert(!save(files, "own", "1", &err));
    put("else", "mine");
    ck_assert_int_eq(rename(in("else"), in("own")), 0);
    ck_assert(!tt_files_remove(files, in("own"), NULL) && there("own"));
    ck_assert(!tt_files_adopt(files, in("foreign"), NULL));
    ck_assert(!tt_files_remove(files, in("foreign"), NULL) && !there("foreign"));
    tt_files_free(files);
}
END_TEST

// A child that holds an unfinished folder with a file in it; it lives until the pipe is closed.
static pid_t unfinished(int hold[2]) {
    ck_assert_int_eq(pipe(hold), 0);
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        struct tt_new_folder *new = NULL;
        char c;
        close(hold[1]);
        if (tt_new_folder_begin(in("whole"), &new, NULL)) _exit(1);
        char path[2048];
        snprintf(path, sizeof path, "%s/file", tt_new_folder_path(new));
        if (tt_write_file(NULL, path, "x", 1, NULL)) _exit(1);
        if (write(ready[1], "r", 1) != 1 || read(hold[0], &c, 1) < 0) _exit(1);
        kill(getpid(), SIGKILL);
    }
    char c;
    close(hold[0]);
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

START_TEST(leftovers_are_swept) {
    struct tt_error err = {0};
    int hold[2], status;
    begin("sweep");
    static const char *const foreign[] = {"movie.mp4.part", ".tintype-x.part", "x.png.123.part",
                                          ".tintype-0123456789ab00000000.part", ".hidden"};
    for (size_t i = 0; i < 5; i++) put(foreign[i], "mine");
    pid_t child = unfinished(hold);
    ck_assert_int_eq(entries(folder), 6);
    ck_assert_msg(!tt_files_plan(NULL, in("a"), &err), "%s", err.message);
    ck_assert_int_eq(entries(folder), 6); // its maker lives
    close(hold[1]);
    ck_assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    ck_assert_int_eq(entries(folder), 6);
    ck_assert_msg(!tt_files_plan(NULL, in("a"), &err), "%s", err.message);
    ck_assert_int_eq(entries(folder), 5);
    for (size_t i = 0; i < 5; i++) holds(foreign[i], "mine");
}
END_TEST

START_TEST(folders_are_whole) {
    struct tt_new_folder *new = NULL;
    struct tt_error err = {0};
    char path[2048];
    begin("folders");
    ck_assert_msg(!tt_new_folder_begin(in("data/"), &new, &err), "%s", err.message);
    snprintf(path, sizeof path, "%s/x", tt_new_folder_path(new));
    ck_assert(!tt_write_file(NULL, path, "1", 1, NULL) && !there("data"));
    ck_assert_msg(!tt_new_folder_end(new, true, &err), "%s", err.message);
    holds("data/x", "1");
    ck_assert_int_eq(tt_new_folder_begin(in("data"), &new, NULL), TT_BAD_INPUT);
    put("file", "mine");
    ck_assert_int_eq(tt_new_folder_begin(in("file"), &new, NULL), TT_BAD_INPUT);
    ck_assert(!tt_new_folder_begin(in("other"), &new, NULL));
    ck_assert(!tt_new_folder_end(new, false, NULL) && !there("other"));
    // Something has taken the name meanwhile: it stays.
    ck_assert(!tt_new_folder_begin(in("other"), &new, NULL));
    put("other", "mine");
    ck_assert_int_eq(tt_new_folder_end(new, true, &err), TT_BAD_INPUT);
    holds("other", "mine");
    ck_assert_int_eq(entries(folder), 3);
}
END_TEST

START_TEST(sets_are_one) {
    struct tt_file_set *set = NULL;
    struct tt_error err = {0};
    const struct tt_span one = {"1", 1}, two = {"2", 1};
    begin("sets");
    for (int commit = 1; commit >= 0; commit--) { // the second one is given up
        ck_assert(!tt_file_set_new(NULL, &set, &err));
        ck_assert(!tt_file_set_add(set, in("weights"), commit ? &one : &two, 1, false, &err));
        ck_assert(!tt_file_set_add(set, in("index"), commit ? &one : &two, 1, true, &err));
        if (commit) ck_assert_msg(!tt_file_set_commit(set, &err), "%s", err.message);
        tt_file_set_free(set);
        holds("weights", "1");
        holds("index", "1");
        ck_assert_int_eq(entries(folder), 2);
    }
    // It cannot be ended: then there is no index.
    ck_assert(!tt_file_set_new(NULL, &set, &err));
    ck_assert(!tt_file_set_add(set, in("weights"), &two, 1, false, &err));
    ck_assert(!tt_file_set_add(set, in("index"), &two, 1, true, &err));
    ck_assert_int_eq(unlink(in("weights")), 0);
    ck_assert_int_eq(mkdir(in("weights"), 0755), 0);
    ck_assert_int_eq(tt_file_set_commit(set, &err), TT_SYSTEM);
    tt_file_set_free(set);
    ck_assert(!there("index"));
    ck_assert_int_eq(entries(folder), 1);
}
END_TEST

START_TEST(lines_are_whole) {
    struct tt_appender *a = NULL;
    struct tt_error err = {0};
    struct rlimit was, limit = {10, 10};
    begin("lines");
    ck_assert_msg(!tt_appender_open(NULL, in("log"), &a, &err), "%s", err.message);
    ck_assert(!tt_appender_add(a, "123456\n", 7, &err));
    getrlimit(RLIMIT_FSIZE, &was);
    limit.rlim_max = was.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    enum tt_status status = tt_appender_add(a, "abcdef\n", 7, &err);
    setrlimit(RLIMIT_FSIZE, &was);
    ck_assert_int_eq(status, TT_SYSTEM);
    holds("log", "123456\n");
    ck_assert(!tt_appender_add(a, "abcdef\n", 7, NULL) && !tt_appender_sync(a, NULL));
    tt_appender_close(a);
    holds("log", "123456\nabcdef\n");
}
END_TEST

enum { ROUNDS = 50, BYTES = 100000 };

static void *write_often(void *letter) {
    char *text = malloc(BYTES);
    memset(text, *(const char *)letter, BYTES);
    bool good = true;
    for (int i = 0; i < ROUNDS; i++) good &= !tt_write_file(NULL, in("shared"), text, BYTES, NULL);
    free(text);
    return good ? NULL : (void *)letter;
}

START_TEST(two_writers_one_name) {
    pthread_t threads[2];
    begin("threads");
    for (int i = 0; i < 2; i++)
        ck_assert(!pthread_create(&threads[i], NULL, write_often, (void *)(i ? "a" : "b")));
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    size_t size;
    char *text = test_read(in("shared"), &size);
    ck_assert_uint_eq(size, BYTES);
    for (size_t i = 0; i < size; i++) ck_assert(text[i] == text[0]);
    free(text);
    ck_assert_int_eq(entries(folder), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("writer");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 120);
    tcase_add_test(files, modes_and_links_stay);
    tcase_add_test(files, nothing_read_is_replaced);
    tcase_add_test(files, outputs_are_two_files);
    tcase_add_test(files, only_own_files_are_removed);
    tcase_add_test(files, leftovers_are_swept);
    tcase_add_test(files, folders_are_whole);
    tcase_add_test(files, sets_are_one);
    tcase_add_test(files, lines_are_whole);
    tcase_add_test(files, two_writers_one_name);
    suite_add_tcase(suite, files);
    return test_main(suite, NULL);
}
