/* The parts of the agent, and what they know of each other. The protocol: docs/agent.md; the host's end: src/toolstack/agent. */
#include "linux.h"
#include "protocol.h"

/* --- operations.c: what is under way -------------------------------------------------------------------------------- */

/* A request as short as most are is kept in the operation itself: fresh memory is dear in a PV guest, whose page tables are the hypervisor's to change. */
enum { SHORT_BODY = 2048 };
/* A file's temporary name goes behind its path: the folder once more, the agent's own name and two numbers. */
enum { NAME_ROOM = 128 };

/* What the host has to be told of an operation, each at most once at a time: told when there is room for it, so nothing has to be queued. */
enum { TELL_STARTED = 1, TELL_EXITED = 2, TELL_STDIN_CLOSED = 4, TELL_RESULT = 8 };
/* Of a program's output. */
enum { GOES_ON = 0, TELL_ENDED = 1, HAS_ENDED = 2 };

struct operation {
  u32 id;
  u8 kind; /* 0: free */
  u8 tell;
  /* Of a RESULT. */
  u8 stage;
  int error; /* positive */
  u32 reply_length; /* so many bytes in `buffer` */
  /* The request, which may come in pieces. */
  char *body;
  u32 body_length, body_have;
  u64 mapped; /* 0: it is in `short_body` */
  /* A program. */
  int pid;             /* 0: not started, or ended */
  int status;          /* of waitpid */
  u8 aborting;         /* what it leaves behind is killed with it */
  int fds[STREAMS];    /* our ends of its pipes; -1: closed */
  u8 output[STREAMS];  /* GOES_ON, TELL_ENDED or HAS_ENDED */
  u8 ready[STREAMS];   /* there may be something to read */
  u8 counted[STREAMS]; /* only `left` of it is the program's: it has ended */
  u32 left[STREAMS];
  u8 stdin_end;        /* nothing will follow what is in the buffer */
  /* A file. */
  int file;
  u64 remaining;   /* to read */
  char *temporary; /* renamed to the path in the end; 0: written in place */
  char *path;
  u32 entries_at, entries_length; /* of a folder, in `buffer` */
  /* Either. */
  u32 credit[STREAMS]; /* what may be sent */
  u32 room;            /* what has been consumed, and the host has not been told of */
  u32 buffered_at, buffered;
  u8 buffer[WINDOW];
  char short_body[SHORT_BODY];
};

extern struct operation operations[OPERATIONS];
/* Behind the last one that is in use. */
extern struct operation *operations_end;

/* In use; 0: there is none. */
struct operation *find_operation(u32 id);
/* A free one, which is in use from now on, with room for its request; 0: there is none. */
struct operation *new_operation(u32 id, int kind, u32 body_length);
/* Ends it with an error number, or 0. */
void finish(struct operation *op, int error, int stage);
void release(struct operation *op);

/* --- requests.c: what the host says; answers.c: what it is told ----------------------------------------------------- */

/* The host of the present session has been heard. */
extern int in_session;
void take(u8 type, u32 id, u8 *content, u32 length);

void answer_hello(u64 session);
/* At once, where there is room: to what cannot be begun. */
void refuse(u32 id, int error);
/* Puts frames on the channel's output as long as there is room and something to say. Returns whether there may be more. */
int fill_output(void);

/* --- frames.c: bytes of the channel to frames and back -------------------------------------------------------------- */

extern u8 output[];
extern u32 output_at, output_length;
/* Whether a frame of any size fits. */
int has_room(void);
/* Begins a frame; returns where its content goes. */
u8 *begin_frame(u8 type, u32 id);
/* Completes it with so many bytes of content. */
void end_frame(u32 length);
/* Begins anew on an unknown state of the channel. */
void reset_output(void);
/* Takes bytes of the channel; `take` gets each whole frame. */
void input(const u8 *bytes, u32 length);
void prepare_frames(void);

/* --- programs.c, spawn.c, streams.c --------------------------------------------------------------------------------- */

/* The agent's own, which programs inherit. */
extern char **environment;

void start_program(struct operation *op);
void signal_program(struct operation *op, int signal, int aborting);
/* With all that is in its process group. */
void kill_program(struct operation *op);
void reap_programs(void);
/* The last word about a program, once all else has been said. */
void finish_program(struct operation *op);
/* Nobody listens any more: it goes on, and what it prints is thrown away. */
void detach_program(struct operation *op);

void give_stdin(struct operation *op, const u8 *bytes, u32 length);
void flush_stdin(struct operation *op);
void end_stdin(struct operation *op);
void close_stdin(struct operation *op);
/* One frame of output, if there is any and the host wants it. */
int send_output(struct operation *op, int which);
void end_output(struct operation *op, int which);
/* What programs print that nobody listens to any more: 0, or where it comes from. */
enum { DRAINS = 64 };
extern int drains[DRAINS];
extern int drains_end;
void drain(int which);

/* --- files.c, folders.c --------------------------------------------------------------------------------------------- */

/* The request of a file operation, but for its path: flags, mode (32 bits each), offset, length (64 bits each). */
struct file_request { u32 flags, mode; u64 offset, length; };

void start_file_operation(struct operation *op);
int send_file(struct operation *op);
void write_file(struct operation *op, const u8 *bytes, u32 length);
void commit_file(struct operation *op);
void abandon_file(struct operation *op);
/* As the host gets it: its size. */
enum { ENTRY = 30 };
u32 describe(u8 *at, const struct stat *st, const char *name);

int send_entries(struct operation *op);
int make_folders(char *path, u32 mode, int recursive);
int remove_path(const char *path, int recursive);

/* --- channel.c, loop.c ---------------------------------------------------------------------------------------------- */

/* Opens the console of this name, which xenstore knows; or this file. -ENOENT: there is none of that name. */
long open_channel_named(const char *name);
long open_channel(const char *path);
/* Until the channel is gone. `signals` is a signalfd. */
void serve(int channel, int signals);

/* --- text.c: bytes and texts; start.c: what is written for the processor --------------------------------------------- */

/* Forwards, so that it also moves bytes to where they overlap lower ones. */
void *memcpy(void *to, const void *from, u64 length);
void *memmove(void *to, const void *from, u64 length);
void *memset(void *at, int value, u64 length);
u32 crc_by_processor(const u8 *at, u64 length);
int processor_has_crc(void);

u64 length_of(const char *text);
int begins_with(const char *text, const char *beginning);
int same_text(const char *a, const char *b);
/* Both return where the text ends now. */
char *append(char *at, const char *text);
char *append_number(char *at, u64 number);
