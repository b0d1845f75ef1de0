/*
 * peercam.h: hands a camera's pictures and sound to the peercam daemon, and takes what viewers want
 * done. One C99 header for POSIX systems; nothing else is needed. The protocol behind it is in
 * docs/hal-socket.md.
 *
 * In one C or C++ file of the firmware:
 *
 *     #define PEERCAM_IMPLEMENTATION
 *     #include "peercam.h"
 *
 * and in the others just the #include. Compile with -D_POSIX_C_SOURCE=200809L or -std=gnu99; link
 * with -pthread where the C library wants it.
 *
 * In short:
 *
 *     peercam_callbacks callbacks = { .key_frame = on_key_frame, .turn = on_turn };
 *     peercam *camera = peercam_new("/run/peercam/camera.sock", "my camera", &callbacks);
 *     peercam_stream stream = { .video = PEERCAM_H264, .frame_rate_milli = 25000 };
 *     peercam_announce(camera, 0, PEERCAM_SUPER, &stream);
 *     ... in the encoder's thread, for each picture:
 *     peercam_picture(camera, 0, PEERCAM_SUPER, &picture);
 *     ... in a thread of its own, for ever:
 *     while (peercam_run(camera, 1000) == 0) {}
 *
 * Threads. peercam_run() is called by one thread at a time, and makes every callback. Everything
 * else may be called by any thread at any time, from callbacks too; nothing but peercam_run() ever
 * waits. peercam_free() is called when no other thread uses the camera any more.
 *
 * Nothing is lost silently. When the daemon is slower than the encoder, whole pictures are dropped,
 * and the pictures after them up to the stream's next key frame; peercam_dropped() counts them.
 *
 * The daemon may start and stop at any time: peercam_run() connects again, and says again what was
 * announced.
 */
#ifndef PEERCAM_H
#define PEERCAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the protocol. */
#define PEERCAM_PROTOCOL 1
/* Bytes of a picture at most. */
#define PEERCAM_LARGEST_PICTURE (2u << 20)
/* Streams, over all channels, at most. */
#define PEERCAM_MOST_STREAMS 48u

/* A connection to the daemon, or the wish for one. */
typedef struct peercam peercam;

/* Which of a channel's pictures. One is enough: viewers get the nearest that there is. */
enum { PEERCAM_STANDARD = 0, PEERCAM_HIGH = 1, PEERCAM_SUPER = 2 };
/* How pictures are coded; PEERCAM_NONE: there are none. */
enum { PEERCAM_NONE = 0, PEERCAM_H264 = 1, PEERCAM_H265 = 2 };
/* How sound is coded; PEERCAM_NONE: there is none. PEERCAM_PCM is for talkback only. */
enum { PEERCAM_AAC = 1, PEERCAM_PCMA = 2, PEERCAM_PCMU = 3, PEERCAM_PCM = 4 };
/* How the NAL units of a picture are told apart: by start codes, or each behind its length as 4
   bytes, most significant first. */
enum { PEERCAM_ANNEX_B = 0, PEERCAM_LENGTHS = 1 };
/* What a channel can beside delivering pictures. */
enum {
    PEERCAM_CAN_TURN = 1 << 0,      /* callback turn; say peercam_position() now and then */
    PEERCAM_CAN_FLIP = 1 << 1,      /* callback flip */
    PEERCAM_CAN_SPEAK = 1 << 2,     /* callbacks talk_start, talk, talk_stop, with PCM */
    PEERCAM_CAN_SPEAK_AAC = 1 << 3, /* ... and with AAC */
    PEERCAM_CAN_STILL = 1 << 4,     /* callback snapshot */
    PEERCAM_CAN_COMMAND = 1 << 5,   /* callback command */
    PEERCAM_CAN_REBOOT = 1 << 6,    /* callback reboot */
    PEERCAM_CAN_FORMAT = 1 << 7     /* callback format */
};

/* What a stream delivers. */
typedef struct {
    int video;                  /* PEERCAM_H264, PEERCAM_H265 or PEERCAM_NONE */
    unsigned frame_rate_milli;  /* pictures in 1000 s: 25000 for 25 a second; 0 if unknown */
    int audio;                  /* PEERCAM_AAC, PEERCAM_PCMA, PEERCAM_PCMU or PEERCAM_NONE */
    unsigned sample_rate;       /* 8000 to 96000 */
    unsigned channels;          /* 1 or 2 */
    const void *aac_config;     /* AAC: the AudioSpecificConfig, at most 32 bytes; NULL if every
                                   unit has an ADTS head */
    size_t aac_config_size;
    int forces_keys;            /* not 0: callback key_frame works */
    int sets_bitrate;           /* not 0: callback bitrate works */
} peercam_stream;

/* An encoded picture. Key pictures have their parameter sets (SPS, PPS, VPS) before them. */
typedef struct {
    int64_t time;               /* when it was captured, in microseconds, as peercam_now() counts;
                                   in decoding order, never before the picture before it */
    int32_t composition;        /* how much later it is shown; 0 without B-pictures */
    int is_key;                 /* not 0: decoding can start here */
    int framing;                /* PEERCAM_ANNEX_B or PEERCAM_LENGTHS */
    const void *data;
    size_t size;
} peercam_picture_t;

/* What the sender of a command may do; bits of `caller`. */
enum {
    PEERCAM_MAY_LIVE = 1 << 0,
    PEERCAM_MAY_PLAYBACK = 1 << 1,
    PEERCAM_MAY_DOWNLOAD = 1 << 2,
    PEERCAM_MAY_VOICE = 1 << 3,
    PEERCAM_MAY_COMMAND = 1 << 4,
    PEERCAM_MAY_FEEDBACK = 1 << 5,
    PEERCAM_MAY_METRICS = 1 << 6,
    PEERCAM_MAY_ADMIN = 1 << 7
};

/* What viewers want. Any may be NULL. `user` is the first argument of all. `id` goes into
   peercam_answer(), soon: viewers wait for 1.5 s at most (for `format` and
   `reboot` 5 s). */
typedef struct {
    void *user;
    /* The daemon has taken us in (1); or there is no connection, for this reason, said once (0). After
       that nobody watches, talks or turns any more, and their callbacks have said so. */
    void (*connected)(void *user, int is_connected, const char *reason);
    /* Somebody watches a stream, or nobody any more: the encoder may rest. */
    void (*watch)(void *user, unsigned channel, int quality, int is_watched);
    /* A key picture is needed, as soon as possible. */
    void (*key_frame)(void *user, unsigned channel, int quality);
    void (*bitrate)(void *user, unsigned channel, int quality, unsigned bits_per_second);
    /* pan: -1 left, 1 right; tilt: -1 down, 1 up; speed: 1 to 10. All 0: stop. */
    void (*turn)(void *user, unsigned channel, int pan, int tilt, int speed);
    /* Turn the picture by 180 degrees, or back. */
    void (*flip)(void *user, unsigned channel, int is_flipped);
    /* Somebody begins to talk: PEERCAM_PCM (signed, 16 bits, little-endian) or PEERCAM_AAC. */
    void (*talk_start)(void *user, unsigned channel, int coding, unsigned sample_rate,
                       unsigned channels, const void *aac_config, size_t aac_config_size);
    /* Samples, or one AAC access unit. */
    void (*talk)(void *user, unsigned channel, const void *data, size_t size);
    void (*talk_stop)(void *user, unsigned channel);
    /* Answer with a JPEG file of now. Viewers wait for 4 s; it is asked for once in a second at most,
       and once for each file of a recording. */
    void (*snapshot)(void *user, unsigned channel, uint32_t id);
    /* A command of your own; answer with what the app is to get. JSON is strict, has each key once, and
       is written anew; other text is as the app sent it. */
    void (*command)(void *user, unsigned channel, uint32_t id, const char *text);
    /* Answer, then start again. */
    void (*reboot)(void *user, unsigned channel, uint32_t id);
    /* Answer that it has begun, then format the card: that takes longer than viewers wait. */
    void (*format)(void *user, unsigned channel, uint32_t id);
    /* Pictures and blocks of sound of a stream that the daemon itself has dropped since we
       connected, because whoever reads them is too slow. */
    void (*dropped)(void *user, unsigned channel, int quality, uint32_t frames);
    /* Who sends the command of this id, which comes next: what it may do (PEERCAM_MAY_...), who minted
       its credential ("local" is this device) and the 16 bytes of the credential's id. Without access
       control nothing was proved: all may be done, `issuer` is "", and the bytes are 0. */
    void (*caller)(void *user, unsigned channel, uint32_t id, uint32_t may, const char *issuer,
                   const uint8_t *credential);
} peercam_callbacks;

/* A camera that will connect to the daemon's socket at `path`, and calls itself `name` in the
   daemon's log. Texts and callbacks are copied. NULL if there is no memory or the path is too
   long. */
peercam *peercam_new(const char *path, const char *name, const peercam_callbacks *callbacks);

/* Ends the connection and frees everything. */
void peercam_free(peercam *camera);

/* Connects if need be, waits up to `timeout_ms` (negative: for ever) for the daemon to want something,
   and makes the callbacks. 0, also while the daemon is away; -1 if the system cannot wait (errno says
   why). Callbacks should not take long: nothing else of the daemon is heard meanwhile. */
int peercam_run(peercam *camera, int timeout_ms);

/* The file to wait for with poll() before peercam_run(camera, 0), in a loop of one's own, which calls it
   every 100 ms in any case; -1 while there is no connection. */
int peercam_fd(peercam *camera);

/* Whether the daemon takes what is sent. */
int peercam_is_connected(peercam *camera);

/* Says what a stream delivers. Again, when that changes. 0, or -1 if there are too many. */
int peercam_announce(peercam *camera, unsigned channel, int quality, const peercam_stream *stream);

/* Says what a channel can: PEERCAM_CAN_… together. 0, or -1 if there are too many channels. */
int peercam_abilities(peercam *camera, unsigned channel, unsigned abilities);

/* Hands over a picture. 1 if it is on its way, 0 if it was dropped. Never waits. */
int peercam_picture(peercam *camera, unsigned channel, int quality,
                    const peercam_picture_t *picture);

/* Hands over sound: one AAC access unit, or G.711 samples; `time` is that of its first sample. 1 if
   it is on its way, 0 if it was dropped. Never waits. */
int peercam_sound(peercam *camera, unsigned channel, int quality, int64_t time, const void *data,
                  size_t size);

/* Says that a stream delivers nothing for now, and why, in words for viewers. */
void peercam_offline(peercam *camera, unsigned channel, int quality, const char *reason);

/* Says where the motor points, and how far it goes. */
void peercam_position(peercam *camera, unsigned channel, int32_t x, int32_t y, int32_t x_low,
                      int32_t x_high, int32_t y_low, int32_t y_high);

/* Answers a request: done (not 0) with a JPEG, a text or nothing, or not done and why. */
void peercam_answer(peercam *camera, uint32_t id, int is_done, const void *data, size_t size);

/* Pictures and blocks of sound of a stream that were dropped here since we connected. */
uint32_t peercam_dropped(peercam *camera, unsigned channel, int quality);

/* Now, on the clock that times of pictures and sound are on: CLOCK_MONOTONIC in microseconds. */
int64_t peercam_now(void);

#ifdef __cplusplus
}
#endif

#endif /* PEERCAM_H */

#ifdef PEERCAM_IMPLEMENTATION
#ifndef PEERCAM_IMPLEMENTED
#define PEERCAM_IMPLEMENTED

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOCK_MONOTONIC
#error "peercam.h needs POSIX: compile with -D_POSIX_C_SOURCE=200809L, or with -std=gnu99"
#endif

#define PEERCAM__HEAD 8u
/* What the daemon says is never longer; its commands have 16 KB. */
#define PEERCAM__LARGEST_INPUT (128u << 10)
/* What waits to be sent: the rest of one picture, and what must not be lost behind it. */
#define PEERCAM__LARGEST_OUTPUT (PEERCAM_LARGEST_PICTURE + (256u << 10))
/* A daemon that is away is tried so often, in microseconds. */
#define PEERCAM__RETRY 500000
/* How long peercam_run() waits at most before it looks around, in microseconds. */
#define PEERCAM__LOOK 100000

enum { PEERCAM__NO = 0, PEERCAM__YES = 1, PEERCAM__START = 2 };

typedef struct {
    int is_used;
    unsigned channel;
    int quality;
    uint8_t info[12 + 32];
    size_t info_size;
    /* awaits_key is PEERCAM__START before the first key picture of a connection: nothing is dropped yet. */
    int awaits_key, wants_key, is_watched;
    uint32_t dropped, told;
} peercam__stream;

typedef struct {
    int is_used, is_talking;
    unsigned channel;
    uint32_t abilities;
} peercam__channel;

struct peercam {
    pthread_mutex_t lock;
    peercam_callbacks callbacks;
    char *name;
    struct sockaddr_un address;
    /* Closed by peercam_run() only, so that it never waits for another file. */
    int file;
    int is_broken, is_welcome;
    /* Of peercam_run() alone. */
    int was_sent_away, has_complained;
    int64_t tried;
    char reason[128];
    peercam__stream streams[PEERCAM_MOST_STREAMS];
    peercam__channel channels[PEERCAM_MOST_STREAMS];
    uint8_t *output;
    size_t output_size, output_at, output_room;
    uint8_t *input;
    size_t input_size;
};

static void peercam__put32(uint8_t *out, uint32_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
}

static void peercam__put64(uint8_t *out, uint64_t value) {
    peercam__put32(out, (uint32_t)value);
    peercam__put32(out + 4, (uint32_t)(value >> 32));
}

static uint32_t peercam__get32(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

int64_t peercam_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

peercam *peercam_new(const char *path, const char *name, const peercam_callbacks *callbacks) {
    peercam *camera = (peercam *)calloc(1, sizeof *camera);
    if (camera == NULL) return NULL;
    camera->file = -1;
    camera->tried = peercam_now() - PEERCAM__RETRY;
    camera->address.sun_family = AF_UNIX;
    camera->name = (char *)calloc(1, strlen(name) + 1);
    camera->input = (uint8_t *)malloc(PEERCAM__LARGEST_INPUT);
    if (strlen(path) >= sizeof camera->address.sun_path || camera->name == NULL ||
        camera->input == NULL || pthread_mutex_init(&camera->lock, NULL) != 0) {
        free(camera->input);
        free(camera->name);
        free(camera);
        return NULL;
    }
    memcpy(camera->address.sun_path, path, strlen(path) + 1);
    memcpy(camera->name, name, strlen(name) + 1);
    if (callbacks != NULL) camera->callbacks = *callbacks;
    return camera;
}

void peercam_free(peercam *camera) {
    if (camera == NULL) return;
    if (camera->file >= 0) close(camera->file);
    pthread_mutex_destroy(&camera->lock);
    free(camera->output);
    free(camera->input);
    free(camera->name);
    free(camera);
}

/* With the lock. The reason that came first stays. */
static void peercam__break(peercam *camera, const char *reason) {
    if (camera->is_broken || camera->file < 0) return;
    camera->is_broken = 1;
    if (camera->reason[0] == '\0') {
        size_t size = strlen(reason);
        if (size >= sizeof camera->reason) size = sizeof camera->reason - 1;
        memcpy(camera->reason, reason, size);
        camera->reason[size] = '\0';
    }
    /* Wakes peercam_run(). */
    shutdown(camera->file, SHUT_RDWR);
}

/* With the lock. 1 if nothing waits to be sent any more. */
static int peercam__flush(peercam *camera) {
    while (camera->output_at < camera->output_size) {
        ssize_t sent = send(camera->file, camera->output + camera->output_at,
                            camera->output_size - camera->output_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) peercam__break(camera, strerror(errno));
            return 0;
        }
        camera->output_at += (size_t)sent;
    }
    camera->output_at = camera->output_size = 0;
    return 1;
}

/* With the lock. Keeps what is to be sent later. */
static int peercam__keep(peercam *camera, const uint8_t *data, size_t size) {
    size_t needed = camera->output_size + size;
    if (needed > PEERCAM__LARGEST_OUTPUT) return 0;
    if (needed > camera->output_room) {
        uint8_t *output = (uint8_t *)realloc(camera->output, needed);
        if (output == NULL) return 0;
        camera->output = output;
        camera->output_room = needed;
    }
    memcpy(camera->output + camera->output_size, data, size);
    camera->output_size = needed;
    return 1;
}

/* With the lock. Sends a message of a head, some fields and data. What `must` go waits for its
   turn; anything else is dropped if it could not begin at once. 1 if it is on its way. */
static int peercam__send(peercam *camera, int kind, unsigned channel, int quality,
                         const uint8_t *fields, size_t fields_size, const void *data, size_t size,
                         int must) {
    uint8_t head[PEERCAM__HEAD];
    struct iovec parts[3];
    struct msghdr message;
    size_t done = 0, i;
    if (camera->file < 0 || camera->is_broken) return 0;
    if (!peercam__flush(camera) && (!must || camera->is_broken)) return 0;
    peercam__put32(head, (uint32_t)(fields_size + size));
    head[4] = (uint8_t)kind;
    head[5] = (uint8_t)quality;
    head[6] = (uint8_t)channel;
    head[7] = (uint8_t)(channel >> 8);
    parts[0].iov_base = head;
    parts[0].iov_len = sizeof head;
    parts[1].iov_base = (void *)(uintptr_t)fields;
    parts[1].iov_len = fields_size;
    parts[2].iov_base = (void *)(uintptr_t)data;
    parts[2].iov_len = size;
    if (camera->output_size == 0) {
        ssize_t sent;
        memset(&message, 0, sizeof message);
        message.msg_iov = parts;
        message.msg_iovlen = 3;
        do {
            sent = sendmsg(camera->file, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            peercam__break(camera, strerror(errno));
            return 0;
        }
        if (sent <= 0 && !must) return 0;
        done = sent > 0 ? (size_t)sent : 0;
    }
    /* A message that has begun must end. */
    for (i = 0; i < 3; i++) {
        size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;
        done -= skip;
        if (skip < parts[i].iov_len &&
            !peercam__keep(camera, (const uint8_t *)parts[i].iov_base + skip,
                           parts[i].iov_len - skip)) {
            peercam__break(camera, "the daemon does not read, or there is no memory");
            return 0;
        }
    }
    return 1;
}

static peercam__stream *peercam__find(peercam *camera, unsigned channel, int quality) {
    size_t i;
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++) {
        peercam__stream *stream = &camera->streams[i];
        if (stream->is_used && stream->channel == channel && stream->quality == quality)
            return stream;
    }
    return NULL;
}

/* With the lock. */
static peercam__channel *peercam__find_channel(peercam *camera, unsigned channel) {
    size_t i;
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++)
        if (camera->channels[i].is_used && camera->channels[i].channel == channel)
            return &camera->channels[i];
    return NULL;
}

int peercam_announce(peercam *camera, unsigned channel, int quality, const peercam_stream *stream) {
    peercam__stream *known;
    size_t i;
    int done = -1;
    if (quality < PEERCAM_STANDARD || quality > PEERCAM_SUPER || channel > 0xffff ||
        stream->aac_config_size > 32)
        return -1;
    pthread_mutex_lock(&camera->lock);
    known = peercam__find(camera, channel, quality);
    for (i = 0; known == NULL && i < PEERCAM_MOST_STREAMS; i++)
        if (!camera->streams[i].is_used) known = &camera->streams[i];
    if (known != NULL) {
        uint8_t *info = known->info;
        size_t config = stream->aac_config == NULL ? 0 : stream->aac_config_size;
        if (!known->is_used) memset(known, 0, sizeof *known);
        known->is_used = 1;
        known->awaits_key = PEERCAM__START;
        known->channel = channel;
        known->quality = quality;
        info[0] = (uint8_t)stream->video;
        info[1] = (uint8_t)stream->audio;
        info[2] = (uint8_t)stream->channels;
        info[3] = (uint8_t)((stream->forces_keys ? 1 : 0) | (stream->sets_bitrate ? 2 : 0));
        peercam__put32(info + 4, stream->sample_rate);
        peercam__put32(info + 8, stream->frame_rate_milli);
        if (config > 0) memcpy(info + 12, stream->aac_config, config);
        known->info_size = 12 + config;
        peercam__send(camera, 2, channel, quality, info, known->info_size, NULL, 0, 1);
        done = 0;
    }
    pthread_mutex_unlock(&camera->lock);
    return done;
}

int peercam_abilities(peercam *camera, unsigned channel, unsigned abilities) {
    peercam__channel *known;
    size_t i;
    pthread_mutex_lock(&camera->lock);
    known = peercam__find_channel(camera, channel);
    for (i = 0; i < PEERCAM_MOST_STREAMS && known == NULL; i++)
        if (!camera->channels[i].is_used) known = &camera->channels[i];
    if (known != NULL) {
        uint8_t bits[4];
        known->is_used = 1;
        known->channel = channel;
        known->abilities = abilities;
        peercam__put32(bits, abilities);
        peercam__send(camera, 6, channel, 0, bits, sizeof bits, NULL, 0, 1);
    }
    pthread_mutex_unlock(&camera->lock);
    return known == NULL ? -1 : 0;
}

/* With the lock. Says how much was dropped, if that is not known there. */
static void peercam__tell_dropped(peercam *camera, peercam__stream *stream) {
    uint8_t count[4];
    if (stream->dropped == stream->told) return;
    peercam__put32(count, stream->dropped);
    if (peercam__send(camera, 9, stream->channel, stream->quality, count, sizeof count, NULL, 0, 0))
        stream->told = stream->dropped;
}

int peercam_picture(peercam *camera, unsigned channel, int quality,
                    const peercam_picture_t *picture) {
    peercam__stream *stream;
    int sent = 0;
    pthread_mutex_lock(&camera->lock);
    stream = peercam__find(camera, channel, quality);
    if (stream != NULL && camera->file >= 0 && picture->size <= PEERCAM_LARGEST_PICTURE &&
        (picture->is_key || !stream->awaits_key)) {
        uint8_t fields[16];
        peercam__put64(fields, (uint64_t)picture->time);
        peercam__put32(fields + 8, (uint32_t)picture->composition);
        peercam__put32(fields + 12, (uint32_t)picture->framing);
        sent = peercam__send(camera, 3, channel, quality, fields, sizeof fields, picture->data,
                             picture->size, 0);
    }
    if (stream != NULL) {
        /* Only a key picture helps from here on. */
        int is_lost = stream->awaits_key != PEERCAM__START || (picture->is_key && camera->is_welcome);
        if (!sent && (picture->is_key || !stream->awaits_key)) stream->wants_key = 1;
        if (sent) {
            stream->awaits_key = PEERCAM__NO;
            peercam__tell_dropped(camera, stream);
        } else if (is_lost) {
            stream->awaits_key = PEERCAM__YES;
            stream->dropped++;
        }
    }
    pthread_mutex_unlock(&camera->lock);
    return sent;
}

int peercam_sound(peercam *camera, unsigned channel, int quality, int64_t time, const void *data,
                  size_t size) {
    peercam__stream *stream;
    int sent = 0;
    pthread_mutex_lock(&camera->lock);
    stream = peercam__find(camera, channel, quality);
    if (stream != NULL && size > 0 && size <= PEERCAM_LARGEST_PICTURE) {
        uint8_t fields[8];
        peercam__put64(fields, (uint64_t)time);
        sent = peercam__send(camera, 4, channel, quality, fields, sizeof fields, data, size, 0);
        if (!sent && camera->is_welcome) stream->dropped++;
    }
    pthread_mutex_unlock(&camera->lock);
    return sent;
}

void peercam_offline(peercam *camera, unsigned channel, int quality, const char *reason) {
    peercam__stream *stream;
    pthread_mutex_lock(&camera->lock);
    stream = peercam__find(camera, channel, quality);
    if (stream != NULL) {
        stream->awaits_key = PEERCAM__START;
        peercam__send(camera, 5, channel, quality, NULL, 0, reason, strlen(reason), 1);
    }
    pthread_mutex_unlock(&camera->lock);
}

void peercam_position(peercam *camera, unsigned channel, int32_t x, int32_t y, int32_t x_low,
                      int32_t x_high, int32_t y_low, int32_t y_high) {
    uint8_t fields[24];
    peercam__put32(fields, (uint32_t)x);
    peercam__put32(fields + 4, (uint32_t)y);
    peercam__put32(fields + 8, (uint32_t)x_low);
    peercam__put32(fields + 12, (uint32_t)x_high);
    peercam__put32(fields + 16, (uint32_t)y_low);
    peercam__put32(fields + 20, (uint32_t)y_high);
    pthread_mutex_lock(&camera->lock);
    peercam__send(camera, 7, channel, 0, fields, sizeof fields, NULL, 0, 1);
    pthread_mutex_unlock(&camera->lock);
}

void peercam_answer(peercam *camera, uint32_t id, int is_done, const void *data, size_t size) {
    uint8_t fields[8];
    if (size > PEERCAM_LARGEST_PICTURE) {
        static const char reason[] = "the answer is too long";
        is_done = 0;
        data = reason;
        size = sizeof reason - 1;
    }
    peercam__put32(fields, id);
    peercam__put32(fields + 4, is_done ? 0 : 1);
    pthread_mutex_lock(&camera->lock);
    peercam__send(camera, 8, 0, 0, fields, sizeof fields, data, size, 1);
    pthread_mutex_unlock(&camera->lock);
}

uint32_t peercam_dropped(peercam *camera, unsigned channel, int quality) {
    peercam__stream *stream;
    uint32_t dropped;
    pthread_mutex_lock(&camera->lock);
    stream = peercam__find(camera, channel, quality);
    dropped = stream == NULL ? 0 : stream->dropped;
    pthread_mutex_unlock(&camera->lock);
    return dropped;
}

int peercam_fd(peercam *camera) {
    int file;
    pthread_mutex_lock(&camera->lock);
    file = camera->file;
    pthread_mutex_unlock(&camera->lock);
    return file;
}

int peercam_is_connected(peercam *camera) {
    int is_welcome;
    pthread_mutex_lock(&camera->lock);
    is_welcome = camera->is_welcome && !camera->is_broken;
    pthread_mutex_unlock(&camera->lock);
    return is_welcome;
}

/* Says once why there is no connection. */
static void peercam__complain(peercam *camera, const char *reason) {
    if (!camera->has_complained && camera->callbacks.connected)
        camera->callbacks.connected(camera->callbacks.user, 0, reason);
    camera->has_complained = 1;
}

/* Connects and says what there is. What is in the way may pass. */
static void peercam__connect(peercam *camera) {
    static const uint8_t hello[] = {'P', 'C', 'A', 'M', PEERCAM_PROTOCOL, 0};
    int room = 512 << 10;
    size_t i;
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    if (file < 0) {
        peercam__complain(camera, strerror(errno));
        return;
    }
    fcntl(file, F_SETFD, FD_CLOEXEC);
    /* Room for a key picture; the system may give less. */
    setsockopt(file, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (connect(file, (const struct sockaddr *)&camera->address, sizeof camera->address) != 0) {
        peercam__complain(camera, strerror(errno));
        close(file);
        return;
    }
    camera->has_complained = 0;
    pthread_mutex_lock(&camera->lock);
    camera->file = file;
    camera->is_broken = camera->is_welcome = 0;
    camera->reason[0] = '\0';
    camera->output_at = camera->output_size = camera->input_size = 0;
    peercam__send(camera, 1, 0, 0, hello, sizeof hello, camera->name, strlen(camera->name), 1);
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++) {
        peercam__stream *stream = &camera->streams[i];
        peercam__channel *channel = &camera->channels[i];
        if (stream->is_used) {
            stream->awaits_key = PEERCAM__START;
            stream->wants_key = 1;
            stream->dropped = stream->told = 0;
            peercam__send(camera, 2, stream->channel, stream->quality, stream->info,
                          stream->info_size, NULL, 0, 1);
        }
        if (channel->is_used) {
            uint8_t bits[4];
            peercam__put32(bits, channel->abilities);
            peercam__send(camera, 6, channel->channel, 0, bits, sizeof bits, NULL, 0, 1);
        }
    }
    pthread_mutex_unlock(&camera->lock);
}

/* Remembers what has to be ended when the daemon goes. */
static void peercam__note(peercam *camera, int kind, unsigned channel, int quality, int is_on) {
    pthread_mutex_lock(&camera->lock);
    if (kind == 66) {
        peercam__stream *stream = peercam__find(camera, channel, quality);
        if (stream != NULL) stream->is_watched = is_on;
    } else {
        peercam__channel *known = peercam__find_channel(camera, channel);
        if (known != NULL) known->is_talking = is_on;
    }
    pthread_mutex_unlock(&camera->lock);
}

/* Makes the callback of a message. Without the lock. */
static void peercam__handle(peercam *camera, int kind, unsigned channel, int quality,
                            uint8_t *body, size_t size) {
    const peercam_callbacks *call = &camera->callbacks;
    void *user = call->user;
    uint32_t number = size >= 4 ? peercam__get32(body) : 0;
    switch (kind) {
    case 64:
        pthread_mutex_lock(&camera->lock);
        camera->is_welcome = 1;
        pthread_mutex_unlock(&camera->lock);
        if (call->connected) call->connected(user, 1, "");
        break;
    case 65:
        camera->was_sent_away = 1;
        pthread_mutex_lock(&camera->lock);
        if (size >= sizeof camera->reason) size = sizeof camera->reason - 1;
        memcpy(camera->reason, body, size);
        camera->reason[size] = '\0';
        pthread_mutex_unlock(&camera->lock);
        break;
    case 66:
        if (size < 1) break;
        peercam__note(camera, kind, channel, quality, body[0]);
        if (call->watch) call->watch(user, channel, quality, body[0]);
        break;
    case 67:
        if (call->key_frame) call->key_frame(user, channel, quality);
        break;
    case 68:
        if (call->bitrate && size >= 4) call->bitrate(user, channel, quality, number);
        break;
    case 69:
        if (call->turn && size >= 3)
            call->turn(user, channel, (int8_t)body[0], (int8_t)body[1], body[2]);
        break;
    case 70:
        if (call->flip && size >= 1) call->flip(user, channel, body[0]);
        break;
    case 71:
        peercam__note(camera, kind, channel, 0, 1);
        if (call->talk_start && size >= 8)
            call->talk_start(user, channel, body[0] == 2 ? PEERCAM_AAC : PEERCAM_PCM,
                             peercam__get32(body + 4), body[1], body + 8, size - 8);
        break;
    case 72:
        if (call->talk) call->talk(user, channel, body, size);
        break;
    case 73:
        peercam__note(camera, kind, channel, 0, 0);
        if (call->talk_stop) call->talk_stop(user, channel);
        break;
    case 74:
        if (call->snapshot && size >= 4) call->snapshot(user, channel, number);
        break;
    case 75:
        /* There is room for the 0 behind it: see peercam__read(). */
        body[size] = '\0';
        if (call->command && size >= 4) call->command(user, channel, number, (char *)body + 4);
        break;
    case 76:
        if (call->reboot && size >= 4) call->reboot(user, channel, number);
        break;
    case 77:
        if (call->format && size >= 4) call->format(user, channel, number);
        break;
    case 78:
        if (call->dropped && size >= 4) call->dropped(user, channel, quality, number);
        break;
    case 79:
        body[size] = '\0';
        if (call->caller && size >= 24)
            call->caller(user, channel, number, peercam__get32(body + 4), (char *)body + 24,
                         body + 8);
        break;
    default:
        /* A later version's; this one did not ask for it. */
        break;
    }
}

/* Reads what has come and makes the callbacks. 0 if the connection has ended. */
static int peercam__read(peercam *camera) {
    uint8_t *input = camera->input;
    size_t at = 0;
    ssize_t came;
    do {
        /* One byte stays free for the 0 behind a command. */
        came = recv(camera->file, input + camera->input_size,
                    PEERCAM__LARGEST_INPUT - 1 - camera->input_size, MSG_DONTWAIT);
    } while (came < 0 && errno == EINTR);
    if (came < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (came == 0) return 0;
    camera->input_size += (size_t)came;
    while (camera->input_size - at >= PEERCAM__HEAD) {
        const uint8_t *head = input + at;
        size_t size = peercam__get32(head);
        uint8_t *body = input + at + PEERCAM__HEAD;
        uint8_t behind;
        if (size > PEERCAM__LARGEST_INPUT - 1 - PEERCAM__HEAD) return 0;
        if (camera->input_size - at - PEERCAM__HEAD < size) break;
        behind = body[size];
        peercam__handle(camera, head[4], head[6] | (unsigned)head[7] << 8, head[5], body, size);
        body[size] = behind;
        at += PEERCAM__HEAD + size;
    }
    memmove(input, input + at, camera->input_size - at);
    camera->input_size -= at;
    return 1;
}

/* Ends what the daemon has begun: nobody else will. */
static void peercam__end(peercam *camera) {
    const peercam_callbacks *call = &camera->callbacks;
    size_t i;
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++) {
        peercam__stream stream;
        peercam__channel channel;
        pthread_mutex_lock(&camera->lock);
        stream = camera->streams[i];
        channel = camera->channels[i];
        camera->streams[i].is_watched = 0;
        camera->channels[i].is_talking = 0;
        pthread_mutex_unlock(&camera->lock);
        if (stream.is_used && stream.is_watched && call->watch)
            call->watch(call->user, stream.channel, stream.quality, 0);
        if (channel.is_used && channel.is_talking && call->talk_stop)
            call->talk_stop(call->user, channel.channel);
        if (channel.is_used && (channel.abilities & PEERCAM_CAN_TURN) != 0 && call->turn)
            call->turn(call->user, channel.channel, 0, 0, 0);
    }
}

/* Closes the connection and says so. */
static void peercam__close(peercam *camera) {
    char reason[sizeof camera->reason];
    size_t i;
    pthread_mutex_lock(&camera->lock);
    close(camera->file);
    camera->file = -1;
    camera->is_broken = camera->is_welcome = 0;
    memcpy(reason, camera->reason, sizeof reason);
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++) camera->streams[i].awaits_key = PEERCAM__START;
    pthread_mutex_unlock(&camera->lock);
    /* One that sent us away would do so again at once. */
    if (camera->was_sent_away) camera->tried = peercam_now() + 9 * (int64_t)PEERCAM__RETRY;
    camera->was_sent_away = 0;
    peercam__end(camera);
    if (camera->callbacks.connected)
        camera->callbacks.connected(camera->callbacks.user, 0,
                                    reason[0] == '\0' ? "the daemon has gone" : reason);
}

/* Asks the encoder for key pictures where some were dropped. */
static void peercam__ask_for_keys(peercam *camera) {
    size_t i;
    for (i = 0; i < PEERCAM_MOST_STREAMS; i++) {
        peercam__stream *stream = &camera->streams[i];
        unsigned channel;
        int quality, is_asked;
        pthread_mutex_lock(&camera->lock);
        is_asked = stream->is_used && stream->wants_key && (stream->info[3] & 1) != 0;
        stream->wants_key = 0;
        channel = stream->channel;
        quality = stream->quality;
        pthread_mutex_unlock(&camera->lock);
        if (is_asked && camera->callbacks.key_frame)
            camera->callbacks.key_frame(camera->callbacks.user, channel, quality);
    }
}

static int64_t peercam__earlier(int64_t a, int64_t b) { return a < b ? a : b; }

int peercam_run(peercam *camera, int timeout_ms) {
    int64_t until = timeout_ms < 0 ? INT64_MAX : peercam_now() + (int64_t)timeout_ms * 1000;
    for (;;) {
        struct pollfd waited;
        int64_t left;
        int is_pending;
        if (camera->file < 0) {
            int64_t next = camera->tried + PEERCAM__RETRY, now = peercam_now();
            if (now < next) {
                int64_t pause = peercam__earlier(next, until) - now;
                if (pause > 0) poll(NULL, 0, (int)(pause / 1000) + 1);
                if (peercam_now() >= until) return 0;
                continue;
            }
            camera->tried = now;
            peercam__connect(camera);
            continue;
        }
        pthread_mutex_lock(&camera->lock);
        is_pending = !camera->is_broken && !peercam__flush(camera);
        pthread_mutex_unlock(&camera->lock);
        if (!is_pending) peercam__ask_for_keys(camera);
        /* Others may want a key picture, or leave something to be sent, meanwhile. */
        left = peercam__earlier(until - peercam_now(), PEERCAM__LOOK);
        waited.fd = camera->file;
        waited.events = (short)(POLLIN | (is_pending ? POLLOUT : 0));
        waited.revents = 0;
        if (poll(&waited, 1, left > 0 ? (int)(left / 1000) + 1 : 0) < 0 && errno != EINTR)
            return -1;
        if ((waited.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !peercam__read(camera))
            peercam__close(camera);
        if (peercam_now() >= until) return 0;
    }
}

#endif /* PEERCAM_IMPLEMENTED */
#endif /* PEERCAM_IMPLEMENTATION */
