/*
 * A camera for the peercam daemon out of two files: an H.264 stream (Annex B) and, if wanted, AAC
 * (ADTS), sent in real time and again and again.
 *
 *     cc -std=c99 -D_POSIX_C_SOURCE=200809L -I include -o stream examples/c/stream.c -pthread -lm
 *     ./stream /run/peercam/camera.sock video.h264 sound.aac
 *
 * The picture has 25 frames a second and no B-frames, as encoders in cameras make it:
 *
 *     ffmpeg -i FILM -r 25 -c:v libx264 -bf 0 -g 50 video.h264 -c:a aac sound.aac
 *
 * with this in the daemon's configuration:
 *
 *     [[channel]]
 *     id = 0
 *     source = { kind = "socket", path = "/run/peercam/camera.sock" }
 *
 * It prints how loud viewers talk, and turns a motor that it does not have.
 */
#define PEERCAM_IMPLEMENTATION
#include "peercam.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>

enum { CHANNEL = 0, QUALITY = PEERCAM_HIGH, RANGE = 100 };

static volatile sig_atomic_t is_over;

static void end(int signal) {
    (void)signal;
    is_over = 1;
}

/* A file in memory. */
struct file {
    uint8_t *data;
    size_t size;
};

static int load(const char *path, struct file *file) {
    FILE *stream = fopen(path, "rb");
    long size;
    if (stream == NULL || fseek(stream, 0, SEEK_END) != 0 || (size = ftell(stream)) <= 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        if (stream != NULL) fclose(stream);
        return -1;
    }
    rewind(stream);
    file->size = (size_t)size;
    file->data = (uint8_t *)malloc(file->size);
    if (file->data == NULL || fread(file->data, 1, file->size, stream) != file->size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        fclose(stream);
        return -1;
    }
    fclose(stream);
    return 0;
}

/* Where the next start code is, from `at` on; the end if there is none. */
static size_t start_code(const struct file *file, size_t at) {
    for (; at + 3 <= file->size; at++)
        if (file->data[at] == 0 && file->data[at + 1] == 0 && file->data[at + 2] == 1) return at;
    return file->size;
}

/* The end of the picture that begins at `at`: behind its last slice. */
static size_t picture_end(const struct file *file, size_t at, int *is_key) {
    int has_slice = 0;
    size_t unit = start_code(file, at);
    *is_key = 0;
    while (unit < file->size) {
        const uint8_t *head = file->data + unit + 3;
        int kind = unit + 4 < file->size ? head[0] & 0x1f : 0;
        int is_slice = kind == 1 || kind == 5;
        /* first_mb_in_slice is 0, or something else comes after a slice: a new picture. */
        if (has_slice && (!is_slice || (head[1] & 0x80) != 0)) return unit;
        has_slice |= is_slice;
        *is_key |= kind == 5;
        unit = start_code(file, unit + 3);
    }
    return file->size;
}

static int has_key_frame(const struct file *file) {
    int is_key = 0;
    for (size_t at = 0; at < file->size && !is_key;) at = picture_end(file, at, &is_key);
    return is_key;
}

/* The size of the ADTS unit at `at`, and the rate of its samples; 0 at the end. */
static size_t adts_unit(const struct file *file, size_t at, unsigned *rate) {
    static const unsigned rates[16] = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050,
                                       16000, 12000, 11025, 8000,  7350,  0,     0,     0};
    const uint8_t *head = file->data + at;
    size_t size;
    if (at + 7 > file->size || head[0] != 0xff || (head[1] & 0xf6) != 0xf0) return 0;
    size = (size_t)(head[3] & 3) << 11 | (size_t)head[4] << 3 | head[5] >> 5;
    *rate = rates[head[2] >> 2 & 15];
    return size < 8 || at + size > file->size || *rate == 0 ? 0 : size;
}

/* What the callbacks share with the sender. */
struct state {
    peercam *camera;
    pthread_mutex_t lock;
    int wants_key, x, y;
};

static void on_connected(void *user, int is_connected, const char *reason) {
    (void)user;
    if (is_connected) printf("connected\n");
    else printf("not connected: %s\n", reason);
    fflush(stdout);
}

static void on_watch(void *user, unsigned channel, int quality, int is_watched) {
    (void)user;
    printf("channel %u, quality %d: %s\n", channel, quality, is_watched ? "watched" : "at rest");
    fflush(stdout);
}

static void on_turn(void *user, unsigned channel, int pan, int tilt, int speed) {
    struct state *state = (struct state *)user;
    pthread_mutex_lock(&state->lock);
    state->x += pan * speed;
    state->y += tilt * speed;
    if (state->x > RANGE) state->x = RANGE;
    if (state->x < -RANGE) state->x = -RANGE;
    if (state->y > RANGE) state->y = RANGE;
    if (state->y < -RANGE) state->y = -RANGE;
    printf("turn %d %d %d: %d %d\n", pan, tilt, speed, state->x, state->y);
    peercam_position(state->camera, channel, state->x, state->y, -RANGE, RANGE, -RANGE, RANGE);
    pthread_mutex_unlock(&state->lock);
    fflush(stdout);
}

static void on_talk_start(void *user, unsigned channel, int coding, unsigned sample_rate,
                          unsigned channels, const void *aac_config, size_t aac_config_size) {
    (void)user, (void)aac_config, (void)aac_config_size;
    printf("channel %u: talk, %s, %u Hz, %u channel(s)\n", channel,
           coding == PEERCAM_AAC ? "AAC" : "PCM", sample_rate, channels);
    fflush(stdout);
}

static void on_talk(void *user, unsigned channel, const void *data, size_t size) {
    const uint8_t *bytes = (const uint8_t *)data;
    double squares = 0;
    size_t i, samples = size / 2;
    (void)user;
    for (i = 0; i < samples; i++) {
        int sample = (int16_t)(uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        squares += (double)sample * sample;
    }
    if (samples > 0)
        printf("channel %u: level %.0f\n", channel, sqrt(squares / (double)samples));
    fflush(stdout);
}

static void on_talk_stop(void *user, unsigned channel) {
    (void)user;
    printf("channel %u: talk is over\n", channel);
    fflush(stdout);
}

static void on_caller(void *user, unsigned channel, uint32_t id, uint32_t may, const char *issuer,
                      const uint8_t *credential) {
    (void)user;
    (void)id;
    (void)credential;
    printf("channel %u: a command by %s, who is %s admin\n", channel,
           issuer[0] == '\0' ? "anybody" : issuer, may & PEERCAM_MAY_ADMIN ? "an" : "no");
    fflush(stdout);
}

static void on_command(void *user, unsigned channel, uint32_t id, const char *text) {
    struct state *state = (struct state *)user;
    char answer[128];
    int size = snprintf(answer, sizeof answer, "{\"channel\":%u,\"letters\":%u}", channel,
                        (unsigned)strlen(text));
    peercam_answer(state->camera, id, 1, answer, (size_t)size);
}

static void *run(void *argument) {
    struct state *state = (struct state *)argument;
    while (!is_over && peercam_run(state->camera, 200) == 0) {
    }
    return NULL;
}

static void sleep_until(int64_t time) {
    int64_t left = time - peercam_now();
    struct timespec pause;
    if (left <= 0) return;
    pause.tv_sec = left / 1000000;
    pause.tv_nsec = left % 1000000 * 1000;
    nanosleep(&pause, NULL);
}

int main(int count, char **arguments) {
    static struct state state;
    static peercam_callbacks callbacks;
    static peercam_stream stream;
    struct file video = {NULL, 0}, audio = {NULL, 0};
    pthread_t runner;
    size_t at = 0, sound_at = 0;
    int64_t start, pictures = 0, samples = 0;
    int is_key;

    if (count < 3 || count > 4) {
        fprintf(stderr, "usage: %s SOCKET VIDEO.h264 [SOUND.aac]\n", arguments[0]);
        return 2;
    }
    if (load(arguments[2], &video) != 0 || (count > 3 && load(arguments[3], &audio) != 0)) return 1;
    if (!has_key_frame(&video)) {
        fprintf(stderr, "%s: no H.264 with start codes\n", arguments[2]);
        free(video.data);
        free(audio.data);
        return 1;
    }
    signal(SIGINT, end);
    signal(SIGTERM, end);

    pthread_mutex_init(&state.lock, NULL);
    callbacks.user = &state;
    callbacks.connected = on_connected;
    callbacks.watch = on_watch;
    callbacks.turn = on_turn;
    callbacks.talk_start = on_talk_start;
    callbacks.talk = on_talk;
    callbacks.talk_stop = on_talk_stop;
    callbacks.command = on_command;
    callbacks.caller = on_caller;
    state.camera = peercam_new(arguments[1], "examples/c/stream", &callbacks);
    if (state.camera == NULL) {
        fprintf(stderr, "%s: no memory, or the path is too long\n", arguments[1]);
        return 1;
    }
    stream.video = PEERCAM_H264;
    stream.frame_rate_milli = 25000;
    if (audio.size > 0) {
        unsigned rate = 0;
        if (adts_unit(&audio, 0, &rate) == 0) {
            fprintf(stderr, "%s: this is no AAC with ADTS heads\n", arguments[3]);
            return 1;
        }
        stream.audio = PEERCAM_AAC;
        stream.sample_rate = rate;
        stream.channels = 1;
    }
    peercam_announce(state.camera, CHANNEL, QUALITY, &stream);
    peercam_abilities(state.camera, CHANNEL,
                      PEERCAM_CAN_TURN | PEERCAM_CAN_SPEAK | PEERCAM_CAN_COMMAND);
    if (pthread_create(&runner, NULL, run, &state) != 0) return 1;

    start = peercam_now();
    while (!is_over) {
        size_t next = picture_end(&video, at, &is_key);
        peercam_picture_t picture;
        memset(&picture, 0, sizeof picture);
        picture.time = start + pictures * 40000;
        picture.is_key = is_key;
        picture.framing = PEERCAM_ANNEX_B;
        picture.data = video.data + at;
        picture.size = next - at;
        sleep_until(picture.time);
        peercam_picture(state.camera, CHANNEL, QUALITY, &picture);
        pictures++;
        at = next < video.size ? next : 0;
        while (audio.size > 0) {
            unsigned rate = 0;
            size_t size = adts_unit(&audio, sound_at, &rate);
            int64_t time;
            if (size == 0) {
                sound_at = 0;
                continue;
            }
            time = start + samples * 1000000 / rate;
            if (time > picture.time) break;
            peercam_sound(state.camera, CHANNEL, QUALITY, time, audio.data + sound_at, size);
            samples += 1024;
            sound_at += size;
        }
    }
    pthread_join(runner, NULL);
    printf("%lld pictures, %u dropped\n", (long long)pictures,
           (unsigned)peercam_dropped(state.camera, CHANNEL, QUALITY));
    peercam_free(state.camera);
    pthread_mutex_destroy(&state.lock);
    free(video.data);
    free(audio.data);
    return 0;
}
