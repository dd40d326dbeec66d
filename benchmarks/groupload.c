/* The load generator of conversations: people on one server who write to each other.
 *
 * `groupload frames|lines FD ...` is given connections of people who are logged in, and in their
 * rooms; a person's number is the position of their connection, from 0. What a server sends is
 * split into frames of the protocol (the length in 4 bytes, big-endian) or into IRC's lines.
 *
 * A line of the input is a round:
 *
 *     pairs|rooms GROUP SPEAKERS MESSAGES IN_FLIGHT RATE TEMPLATE
 *
 * pairs: I and GROUP - I, modulo all, are a pair; GROUP is odd, so that nobody is alone, and another
 *     GROUP is other pairs. The first SPEAKERS speak in this order, each next to their partner.
 * rooms: each GROUP people are a room, and the first SPEAKERS of all speak.
 * RATE > 0: so many messages a second, by all in turn. Else a speaker writes the next message as
 *     soon as fewer than IN_FLIGHT of their own have not been received by all others of the group.
 * TEMPLATE: what a message is sent with; %PEER%, %ROOM% and %TEXT% are replaced.
 *
 * Only what others wrote counts as received. Each message must arrive once, and those of a speaker
 * in order; own messages, which a server may send back, too, are only checked for that. A round
 * ends when all messages were received; it is answered by a line of JSON, times in seconds. What is
 * wrong ends the program, with a line on the standard error. Ends with its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (1 << 20)
#define MAX_LINE 4096
#define MAX_MESSAGES_AT_ONCE 32 /* before the next look at what has arrived */
#define STALLED_NS 30000000000ull
#define INPUT UINT32_MAX

/* Time sent, number of the message among its sender's, sender, round. */
#define TEXT "~T%016llx.%08x.%08x.%08x"
#define TEXT_LENGTH (2 + 16 + 3 * 9)

static struct person {
    int fd;
    char *begun; /* a frame that has not arrived as a whole */
    size_t begun_size, begun_room;
    char *unsent; /* what its socket has not taken */
    size_t unsent_size, unsent_room;
    uint32_t said, own; /* messages written in this round, and those of them that came back */
} *people;
static uint32_t count;
static int poller, has_frames;
static char input[MAX_LINE + 1];
static size_t input_size;

/* What was parsed last, so that what many receive alike is parsed once: the generator is to take
 * less than the servers. After each, what came after it when somebody received it before. */
#define KNOWN 4096
#define KNOWN_SIZE 1024
static struct message {
    uint64_t sent;
    uint32_t number, from, when, next;
    size_t size;
    char data[KNOWN_SIZE];
} known[KNOWN], *latest = known;

static uint32_t round_number;
static int is_pairs;
static uint32_t group, hearers, speakers, in_flight;
static uint32_t *last;       /* [position in the group][person]: of whom the last message heard */
static uint32_t *heard_by;   /* [speaker][message % in_flight]: how many others have it */
static uint32_t *ready;      /* speakers who may write, a ring; one may be there several times */
static uint64_t ready_first, ready_end;
static uint64_t heard, reads;
static uint64_t delays[64 * 64]; /* see bucket() */

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("groupload: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(void *old, size_t size)
{
    void *new = realloc(old, size ? size : 1);
    if (!new)
        die("out of memory");
    return new;
}

static uint32_t *zeros(uint32_t *old, size_t number)
{
    return memset(allocate(old, number * sizeof *old), 0, number * sizeof *old);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* -- delays: exact to 1/64, without keeping each ------------------------------------------------ */

static unsigned bucket(uint64_t ns)
{
    if (ns < 64)
        return ns;
    int shift = 63 - __builtin_clzll(ns) - 6;
    return (shift + 1) * 64 + (ns >> shift & 63);
}

static double quantile(double part)
{
    uint64_t below = 0;
    for (unsigned i = 0; i < sizeof delays / sizeof *delays; i++)
        if ((below += delays[i]) > part * heard)
            return (i < 64 ? i : (uint64_t)(64 + i % 64) << (i / 64 - 1)) / 1e9;
    return 0;
}

/* -- sockets ------------------------------------------------------------------------------------- */

static void watch(int fd, uint32_t who, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.u32 = who};
    if (epoll_ctl(poller, operation, fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static size_t write_some(struct person *person, const char *data, size_t size)
{
    ssize_t written = write(person->fd, data, size);
    if (written < 0 && errno != EAGAIN)
        die("writing as person %u: %s", (unsigned)(person - people), strerror(errno));
    return written < 0 ? 0 : written;
}

static void put(struct person *person, const char *data, size_t size)
{
    if (person->unsent_size == 0) {
        size_t written = write_some(person, data, size);
        if (written == size)
            return;
        data += written;
        size -= written;
        watch(person->fd, person - people, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    if (person->unsent_room < person->unsent_size + size) {
        person->unsent_room = 2 * (person->unsent_size + size);
        person->unsent = allocate(person->unsent, person->unsent_room);
    }
    memcpy(person->unsent + person->unsent_size, data, size);
    person->unsent_size += size;
}

static void put_unsent(struct person *person)
{
    size_t written = write_some(person, person->unsent, person->unsent_size);
    person->unsent_size -= written;
    memmove(person->unsent, person->unsent + written, person->unsent_size);
    if (person->unsent_size == 0)
        watch(person->fd, person - people, EPOLLIN, EPOLL_CTL_MOD);
}

/* -- who writes to whom -------------------------------------------------------------------------- */

static uint32_t partner(uint32_t who)
{
    return (group + count - who) % count;
}

/* The nth speaker. Pairs sum up to `group`: they are found by going away from half of it. */
static uint32_t speaker(uint32_t n)
{
    if (!is_pairs)
        return n;
    return (n % 2 ? (group - 1) / 2 + count - n / 2 : (group + 1) / 2 + n / 2) % count;
}

static int is_in_group(uint32_t who, uint32_t other)
{
    return is_pairs ? other == partner(who) || other == who : other / group == who / group;
}

/* -- receiving ------------------------------------------------------------------------------------ */

static uint64_t hex(const char *digits, int size)
{
    uint64_t value = 0;
    for (; size--; digits++) {
        int digit = *digits <= '9' ? *digits - '0' : *digits - 'a' + 10;
        if (digit < 0 || digit > 15)
            die("a text was changed on its way");
        value = value * 16 + digit;
    }
    return value;
}

/* Returns NULL if a frame is of no message. */
static const struct message *parse(uint32_t who, const char *data, size_t size)
{
    struct message *next = &known[latest->next];
    if (next->size == size && memcmp(next->data, data, size) == 0)
        return latest = next;
    const char *text = memmem(data, size, "~T", 2);
    if (!text) { /* an acknowledgement, or who has come */
        if (memmem(data, size, "\"msg_type\":\"error\"", 18))
            die("person %u was refused something: %.*s", who, (int)size, data);
        return NULL;
    }
    if (data + size - text < TEXT_LENGTH)
        die("a text was cut on its way");
    uint32_t number = hex(text + 19, 8), from = hex(text + 28, 8);
    next = &known[(from * 64 + number) % KNOWN];
    next->sent = hex(text + 2, 16);
    next->number = number;
    next->from = from;
    next->when = hex(text + 37, 8);
    next->size = size <= KNOWN_SIZE ? size : 0;
    memcpy(next->data, data, next->size);
    latest->next = next - known;
    return latest = next;
}

static void receive(uint32_t who, const char *data, size_t size, uint64_t time)
{
    if (!has_frames && size >= 4 && memcmp(data, "PING", 4) == 0) {
        put(&people[who], "PONG", 4);
        put(&people[who], data + 4, size - 4);
        return;
    }
    const struct message *message = parse(who, data, size);
    if (!message)
        return;
    uint32_t number = message->number, from = message->from, when = message->when;
    if (from == who) { /* how far the server is with what this person wrote, and not a delivery */
        if (when == round_number && number != ++people[who].own)
            die("person %u got their own message %u after %u", who, number, people[who].own - 1);
        return;
    }
    if (when != round_number || from >= count || !is_in_group(who, from))
        die("person %u got message %u of person %u in round %u, which is not for them", who, number,
            from, when);
    uint32_t *before = &last[(size_t)(is_pairs ? 0 : from % group) * count + who];
    if (number != *before + 1)
        die("person %u got message %u of person %u after %u", who, number, from, *before);
    *before = number;
    heard++;
    delays[bucket(time - message->sent)]++;
    uint32_t *by = &heard_by[(size_t)from * in_flight + number % in_flight];
    if (++*by == hearers) {
        *by = 0;
        ready[ready_end++ % ((uint64_t)speakers * in_flight)] = from;
    }
}

static void receive_some(uint32_t who)
{
    static char buffer[READ_SIZE + MAX_LINE * 64];
    struct person *person = &people[who];
    size_t size = person->begun_size, start = 0;
    memcpy(buffer, person->begun, size);
    ssize_t got = read(person->fd, buffer + size, READ_SIZE);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        die("the connection of person %u has ended", who);
    uint64_t time = now();
    reads++;
    size += got;
    for (;;) {
        size_t head = has_frames ? 4 : 0, whole;
        if (has_frames) {
            uint32_t length;
            if (size - start < 4)
                break;
            memcpy(&length, buffer + start, 4);
            whole = 4 + (size_t)__builtin_bswap32(length);
        } else {
            char *end = memchr(buffer + start, '\n', size - start);
            whole = end ? (size_t)(end + 1 - (buffer + start)) : SIZE_MAX;
        }
        if (size - start < whole)
            break;
        receive(who, buffer + start + head, whole - head, time);
        start += whole;
    }
    person->begun_size = size - start;
    if (person->begun_size > MAX_LINE * 64)
        die("person %u got a frame that is too long", who);
    if (person->begun_room < person->begun_size) {
        person->begun_room = 2 * person->begun_size;
        person->begun = allocate(person->begun, person->begun_room);
    }
    memcpy(person->begun, buffer + start, person->begun_size);
}

/* Let in what has arrived, waiting for so long. Returns whether it is input (or its end). */
static int look(int milliseconds)
{
    struct epoll_event events[512];
    int found = epoll_wait(poller, events, 512, milliseconds), has_input = 0;
    for (int i = 0; i < found; i++) {
        uint32_t who = events[i].data.u32;
        if (who == INPUT) {
            has_input = 1;
            continue;
        }
        if (events[i].events & EPOLLOUT && people[who].unsent_size)
            put_unsent(&people[who]);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive_some(who);
    }
    return has_input;
}

/* -- rounds --------------------------------------------------------------------------------------- */

static size_t fill(char *out, const char *template, uint32_t who, const char *text)
{
    char *end = out;
    while (*template) {
        if (end - out > MAX_LINE - 128)
            die("the template is too long");
        if (strncmp(template, "%PEER%", 6) == 0) {
            end += sprintf(end, "%u", partner(who));
            template += 6;
        } else if (strncmp(template, "%ROOM%", 6) == 0) {
            end += sprintf(end, "%u", who / group);
            template += 6;
        } else if (strncmp(template, "%TEXT%", 6) == 0) {
            end = stpcpy(end, text);
            template += 6;
        } else {
            *end++ = *template++;
        }
    }
    return end - out;
}

static void say(uint32_t who, const char *template)
{
    char text[TEXT_LENGTH + 1], data[4 + MAX_LINE];
    sprintf(text, TEXT, (unsigned long long)now(), ++people[who].said, who, round_number);
    size_t size = fill(data + 4, template, who, text);
    if (has_frames) {
        uint32_t length = __builtin_bswap32(size);
        memcpy(data, &length, 4);
        put(&people[who], data, size + 4);
    } else {
        memcpy(data + 4 + size, "\r\n", 2);
        put(&people[who], data + 4, size + 2);
    }
}

static void play(uint32_t messages, double rate, const char *template)
{
    uint64_t begun = now(), expected = (uint64_t)messages * hearers, before = 0, progress = begun;
    uint32_t said = 0;
    while (heard < expected) {
        uint64_t time = now(), due = messages;
        if (rate > 0 && (time - begun) * rate / 1e9 + 1 < messages)
            due = (time - begun) * rate / 1e9 + 1;
        for (int i = 0; i < MAX_MESSAGES_AT_ONCE && said < due; i++) {
            if (rate > 0)
                say(speaker(said % speakers), template);
            else if (ready_first < ready_end)
                say(ready[ready_first++ % ((uint64_t)speakers * in_flight)], template);
            else
                break;
            said++;
        }
        int is_waiting = said == messages || (rate <= 0 && ready_first == ready_end);
        look(is_waiting ? 1000 : rate > 0 && said == due ? 1 : 0);
        if (heard != before) {
            before = heard;
            progress = time;
        } else if (time > progress + STALLED_NS) {
            die("%llu of %llu deliveries, and then none in 30 s", (unsigned long long)heard,
                (unsigned long long)expected);
        }
    }
    printf("{\"seconds\": %.6f, \"p50\": %.9f, \"p99\": %.9f, \"reads\": %llu}\n",
           (now() - begun) / 1e9, quantile(.5), quantile(.99), (unsigned long long)reads);
    fflush(stdout);
}

static void play_line(const char *line)
{
    char kind[8];
    uint32_t messages;
    double rate;
    int template = 0;
    sscanf(line, "%7s %u %u %u %u %lf %n", kind, &group, &speakers, &messages, &in_flight, &rate,
           &template);
    if (!template || !line[template])
        die("not a round: %s", line);
    is_pairs = strcmp(kind, "pairs") == 0;
    if (is_pairs && (count % 2 || group % 2 == 0 || group >= 2 * count))
        die("pairs need an even number of people, and an odd GROUP below twice that");
    if (!is_pairs && (group < 2 || count % group))
        die("%u people can't be divided into rooms of %u", count, group);
    if (speakers < 1 || speakers > count || in_flight < 1 || (rate > 0 && in_flight < messages))
        die("SPEAKERS are 1 to all; IN_FLIGHT is at least 1, and with a RATE all MESSAGES");
    hearers = is_pairs ? 1 : group - 1;
    round_number++;
    heard = reads = ready_first = ready_end = 0;
    memset(delays, 0, sizeof delays);
    last = zeros(last, (size_t)count * (is_pairs ? 1 : group));
    heard_by = zeros(heard_by, (size_t)count * in_flight);
    ready = zeros(ready, (size_t)speakers * in_flight);
    while (ready_end < (uint64_t)speakers * in_flight) {
        ready[ready_end] = speaker(ready_end % speakers);
        ready_end++;
    }
    for (uint32_t i = 0; i < count; i++)
        people[i].said = people[i].own = 0;
    play(messages, rate, line + template);
}

/* Take the next line from the input. Returns whether there is one. */
static int take_line(char *line)
{
    char *end = memchr(input, '\n', input_size);
    if (!end)
        return 0;
    memcpy(line, input, end - input);
    line[end - input] = 0;
    input_size -= end + 1 - input;
    memmove(input, end + 1, input_size);
    return 1;
}

int main(int argc, char **argv)
{
    char line[MAX_LINE + 1];
    if (argc < 4 || (strcmp(argv[1], "frames") && strcmp(argv[1], "lines")))
        die("usage: groupload frames|lines FD FD ...");
    has_frames = strcmp(argv[1], "frames") == 0;
    count = argc - 2;
    people = memset(allocate(NULL, count * sizeof *people), 0, count * sizeof *people);
    poller = epoll_create1(0);
    watch(STDIN_FILENO, INPUT, EPOLLIN, EPOLL_CTL_ADD);
    for (uint32_t i = 0; i < count; i++) {
        people[i].fd = atoi(argv[2 + i]);
        fcntl(people[i].fd, F_SETFL, fcntl(people[i].fd, F_GETFL) | O_NONBLOCK);
        watch(people[i].fd, i, EPOLLIN, EPOLL_CTL_ADD);
    }
    for (;;) {
        while (take_line(line))
            play_line(line);
        if (look(-1)) {
            ssize_t got = read(STDIN_FILENO, input + input_size, MAX_LINE - input_size);
            if (got <= 0)
                return 0;
            input_size += got;
        }
    }
}
