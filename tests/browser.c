// SPDX-License-Identifier: MIT
// browser PROGRAM FOLDER: Chromium without a window, with its profile in that folder, led by the
// lines of standard input through the DevTools protocol on a pipe. What it is asked:
//   size W H           of the window
//   media FEATURE=VALUE ...    prefers-color-scheme=dark, or type=print; none: as it is
//   open FILE          "loaded MS" after the load event and two frames, "worked MS" of that on a
//                      processor, "requests N"
//   eval EXPRESSION    "value JSON"; a promise is awaited
//   load FILE          evaluates a file
//   key NAME [TIMES]   Tab, Enter, ArrowDown, Escape, ... or a letter, as if typed
//   shot FILE.png      of the window; "page FILE.png" of all the page
// A line "console ..." is what the page said there, an error it did not catch, or what a policy
// refused. Exit 1 when the browser cannot be used.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int to_browser, from_browser;
static char *session; // of the page
static int last_id, requests;
static bool loaded;

static void give_up(const char *what) {
    fprintf(stderr, "browser: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Messages end in a zero byte. NULL: the browser has gone.
static json_t *receive(void) {
    static char *buffer;
    static size_t held, room;
    for (;;) {
        char *end = held ? memchr(buffer, 0, held) : NULL;
        if (end) {
            json_t *message = json_loads(buffer, 0, NULL);
            held -= (size_t)(end + 1 - buffer);
            memmove(buffer, end + 1, held);
            return message;
        }
        if (held == room && !(buffer = realloc(buffer, room = 2 * room + 65536)))
            give_up("out of memory");
        ssize_t n = read(from_browser, buffer + held, room - held);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return NULL;
        held += (size_t)n;
    }
}

static void say(const char *kind, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("%s %s\n", kind, text ? text : "null");
    free(text);
}

static void event(const json_t *message) {
    const char *method = json_string_value(json_object_get(message, "method"));
    const json_t *params = json_object_get(message, "params");
    if (!method) return;
    if (!strcmp(method, "Page.loadEventFired")) loaded = true;
    if (!strcmp(method, "Network.requestWillBeSent")) requests++;
    if (!strcmp(method, "Runtime.consoleAPICalled"))
        say("console", json_object_get(params, "args"));
    if (!strcmp(method, "Runtime.exceptionThrown"))
        say("console", json_object_get(params, "exceptionDetails"));
    if (!strcmp(method, "Log.entryAdded"))
        say("console", json_object_get(json_object_get(params, "entry"), "text"));
    if (!strcmp(method, "Audits.issueAdded")) say("console", json_object_get(params, "issue"));
}

// Sends a command and gives its result; events on the way are told.
static json_t *command(const char *method, json_t *params) {
    json_t *message = json_pack("{s:i, s:s, s:o}", "id", ++last_id, "method", method, "params",
                                params ? params : json_object());
    if (session) json_object_set_new(message, "sessionId", json_string(session));
    char *text = json_dumps(message, JSON_COMPACT);
    size_t size = strlen(text) + 1, sent = 0;
    json_decref(message);
    while (sent < size) {
        ssize_t n = write(to_browser, text + sent, size - sent);
        if (n <= 0) give_up("it has gone");
        sent += (size_t)n;
    }
    free(text);
    for (;;) {
        if (!(message = receive())) give_up("it has gone");
        if (json_integer_value(json_object_get(message, "id")) == last_id) break;
        event(message);
        json_decref(message);
    }
    json_t *error = json_object_get(message, "error");
    if (error) say(method, error);
    json_t *result = json_incref(json_object_get(message, "result"));
    json_decref(message);
    return result ? result : json_object();
}

static void do_command(const char *method, json_t *params) {
    json_decref(command(method, params));
}

static json_t *evaluate(const char *expression) {
    json_t *result = command("Runtime.evaluate", json_pack(
        "{s:s, s:b, s:b, s:b}", "expression", expression, "awaitPromise", 1, "returnByValue", 1,
        "userGesture", 1));
    json_t *value = json_incref(json_object_get(json_object_get(result, "result"), "value"));
    if (json_object_get(result, "exceptionDetails"))
        say("console", json_object_get(result, "exceptionDetails"));
    json_decref(result);
    return value ? value : json_null();
}

// Processor time of the page's thread, in seconds.
static double worked(void) {
    json_t *result = command("Performance.getMetrics", NULL), *metric;
    double seconds = 0;
    size_t i;
    json_array_foreach(json_object_get(result, "metrics"), i, metric)
        if (!strcmp(json_string_value(json_object_get(metric, "name")), "TaskDuration"))
            seconds = json_number_value(json_object_get(metric, "value"));
    json_decref(result);
    return seconds;
}

static void open_page(const char *path) {
    char *whole = realpath(path, NULL);
    if (!whole) give_up("no such file");
    loaded = false;
    requests = 0;
    // Counted from here.
    do_command("Performance.disable", NULL);
    do_command("Performance.enable", json_pack("{s:s}", "timeDomain", "threadTicks"));
    double begun = now();
    do_command("Page.navigate", json_pack("{s:o}", "url", json_sprintf("file://%s", whole)));
    while (!loaded) {
        json_t *message = receive();
        if (!message) give_up("it has gone");
        event(message);
        json_decref(message);
    }
    json_decref(evaluate("new Promise(done => requestAnimationFrame(() => "
                         "requestAnimationFrame(() => done(1))))"));
    double took = now() - begun;
    printf("loaded %.0f\nworked %.0f\nrequests %d\n", 1e3 * took, 1e3 * worked(), requests);
    free(whole);
}

static void press(const char *name) {
    static const struct { const char *name; int code; const char *text; } keys[] = {
        {"Tab", 9, NULL}, {"Enter", 13, "\r"}, {"Escape", 27, NULL}, {"Space", 32, " "},
        {"End", 35, NULL}, {"Home", 36, NULL}, {"ArrowLeft", 37, NULL}, {"ArrowUp", 38, NULL},
        {"ArrowRight", 39, NULL}, {"ArrowDown", 40, NULL}};
    int code = name[0];
    const char *text = name;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i].name, name)) code = keys[i].code, text = keys[i].text;
    const char *key = !strcmp(name, "Space") ? " " : name;
    json_t *down = json_pack("{s:s, s:s, s:i}", "type", text ? "keyDown" : "rawKeyDown", "key", key,
                             "windowsVirtualKeyCode", code);
    if (text) json_object_set_new(down, "text", json_string(text));
    do_command("Input.dispatchKeyEvent", down);
    do_command("Input.dispatchKeyEvent", json_pack("{s:s, s:s, s:i}", "type", "keyUp", "key", key,
                                                   "windowsVirtualKeyCode", code));
}

static void media(char *words) {
    json_t *params = json_pack("{s:s, s:[]}", "media", "", "features");
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        if (!value) give_up("media: expected NAME=VALUE");
        *value++ = 0;
        if (!strcmp(word, "type")) json_object_set_new(params, "media", json_string(value));
        else
            json_array_append_new(json_object_get(params, "features"), json_pack(
                "{s:s, s:s}", "name", word, "value", value));
    }
    do_command("Emulation.setEmulatedMedia", params);
}

static int value_of(char c) {
    const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);
    return c && at ? (int)(at - digits) : -1;
}

static void shoot(const char *path, bool whole) {
    json_t *result = command("Page.captureScreenshot", json_pack(
        "{s:s, s:b}", "format", "png", "captureBeyondViewport", whole));
    const char *text = json_string_value(json_object_get(result, "data"));
    FILE *to = fopen(path, "w");
    if (!to || !text) give_up("no picture");
    unsigned bits = 0, count = 0;
    for (; value_of(*text) >= 0; text++) {
        bits = bits << 6 | (unsigned)value_of(*text);
        if ((count += 6) >= 8) fputc((int)(bits >> (count -= 8) & 255), to);
    }
    fclose(to);
    json_decref(result);
}

static void obey(char *line) {
    char *rest = strchr(line, ' ');
    if (rest) *rest++ = 0;
    else rest = line + strlen(line);
    if (!strcmp(line, "open")) open_page(rest);
    else if (!strcmp(line, "media")) media(rest);
    else if (!strcmp(line, "shot") || !strcmp(line, "page")) shoot(rest, *line == 'p');
    else if (!strcmp(line, "size")) {
        int width = 0, height = 0;
        sscanf(rest, "%d %d", &width, &height);
        do_command("Emulation.setDeviceMetricsOverride", json_pack(
            "{s:i, s:i, s:i, s:b}", "width", width, "height", height, "deviceScaleFactor", 1,
            "mobile", 0));
    } else if (!strcmp(line, "load")) {
        static char text[65536];
        FILE *from = fopen(rest, "r");
        size_t n = from ? fread(text, 1, sizeof text - 1, from) : 0;
        if (!n || n == sizeof text - 1) give_up("no such file");
        fclose(from);
        text[n] = 0;
        json_decref(evaluate(text));
    } else if (!strcmp(line, "eval")) {
        json_t *value = evaluate(rest);
        say("value", value);
        json_decref(value);
    } else if (!strcmp(line, "key")) {
        char name[32] = "";
        int times = 1;
        sscanf(rest, "%31s %d", name, &times);
        while (times-- > 0) press(name);
    } else if (*line) give_up("no such word");
    fflush(stdout);
}

// The browser reads its descriptor 3 and writes to 4.
static pid_t start(const char *program, const char *folder) {
    int down[2], up[2];
    char profile[4096];
    if (pipe(down) || pipe(up)) give_up("no pipe");
    snprintf(profile, sizeof profile, "--user-data-dir=%s", folder);
    pid_t child = fork();
    if (!child) {
        int in = fcntl(down[0], F_DUPFD, 10), out = fcntl(up[1], F_DUPFD, 10);
        dup2(in, 3);
        dup2(out, 4);
        for (int i = 5; i < 20; i++) close(i);
        int nothing = open("/dev/null", O_RDWR);
        dup2(nothing, 0);
        dup2(nothing, 1);
        dup2(nothing, 2);
        execlp(program, program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
               "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking",
               "--remote-debugging-pipe", profile, "about:blank", (char *)NULL);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    to_browser = down[1];
    from_browser = up[0];
    return child;
}

static void attach(void) {
    json_t *made = command("Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *attached = command("Target.attachToTarget", json_pack(
        "{s:O, s:b}", "targetId", json_object_get(made, "targetId"), "flatten", 1));
    const char *id = json_string_value(json_object_get(attached, "sessionId"));
    if (!id) give_up("no page");
    session = strdup(id);
    static const char *const domains[] = {"Page", "Runtime", "Log", "Network", "Audits", NULL};
    for (const char *const *d = domains; *d; d++) {
        char method[32];
        snprintf(method, sizeof method, "%s.enable", *d);
        do_command(method, NULL);
    }
    json_decref(made);
    json_decref(attached);
}

int main(int argc, char **argv) {
    if (argc != 3) give_up("expected PROGRAM FOLDER");
    signal(SIGPIPE, SIG_IGN);
    pid_t child = start(argv[1], argv[2]);
    char *line = NULL;
    size_t room = 0;
    attach();
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        if (line[n - 1] == '\n') line[n - 1] = 0;
        obey(line);
    }
    free(line);
    free(session);
    session = NULL;
    do_command("Browser.close", NULL);
    waitpid(child, NULL, 0);
    return 0;
}
