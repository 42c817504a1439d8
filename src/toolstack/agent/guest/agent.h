/* The parts of the agent, and what they know of each other. The protocol: docs/agent.md; the host's end: src/toolstack/agent. */
#include "linux.h"

/* --- the protocol: as in src/toolstack/agent/protocol.ts ------------------------------------------------------------ */

enum { VERSION = 1 };
/* Bytes of a DATA frame beside its head, and of a whole frame before it is encoded. */
enum { MAX_DATA = 4096, MAX_FRAME = MAX_DATA + 32 };
/* What the host may send of a program's stdin, or of a file, before it hears that there is room again. */
enum { WINDOW = 32768 };
/* Programs and file operations at a time. */
enum { OPERATIONS = 64 };
/* Arguments and environment of a program, or a path with what is asked of it. */
enum { MAX_BODY = 1 << 20 };

/* From the host. All but RESET name an operation. */
enum { RESET = 1, OPEN = 2, BODY = 3, DATA = 4, END = 5, CREDIT = 6, SIGNAL = 7, CLOSE = 8 };
/* To the host. */
enum { HELLO = 0x81, STARTED = 0x82, OUTPUT = 0x83, ENDED = 0x84, ROOM = 0x85, EXITED = 0x86, RESULT = 0x87 };
/* What an OPEN asks for. */
enum { EXEC = 1, READ = 2, WRITE = 3, LIST = 4, STAT = 5, MKDIR = 6, REMOVE = 7 };
/* Where a program failed to start, in a RESULT. */
enum { AT_START = 0, AT_CWD = 1, AT_COMMAND = 2 };
/* The same for a file: where it lies, or itself. */
enum { STDIN = 0, STDOUT = 1, STDERR = 2 };

/* --- an operation --------------------------------------------------------------------------------------------------- */

/* What the host has to be told of an operation, each at most once at a time: told when there is room for it, so nothing has to be queued. */
enum { TELL_STARTED = 1, TELL_EXITED = 2, TELL_STDIN_CLOSED = 4, TELL_RESULT = 8 };

struct operation {
  u32 id;
  u8 kind;        /* 0: free */
  u8 tell;
  u8 stage;       /* of a RESULT */
  int error;      /* of a RESULT, positive */
  u8 *reply;      /* of a RESULT: so many bytes in `buffer` */
  u32 reply_length;
  /* The request, which may come in pieces. */
  char *body;
  u32 body_length, body_have;
  u64 mapped;
  /* A program. */
  int pid;        /* 0: not started, or ended */
  int status;     /* of waitpid */
  u8 aborting;    /* what it leaves behind is killed with it */
  int fds[3];     /* our ends of its pipes; -1: closed */
  u8 ended[3];    /* its stdout or stderr has come to its end, and the host has been told (2) or not (1) */
  u8 counted[3];  /* only so much more of it is the program's: it has ended */
  u32 left[3];
  u8 stdin_end;   /* nothing will follow what is in the buffer */
  /* A file. */
  int file;
  u64 remaining;  /* to read */
  char *temporary; /* renamed to the path in the end; 0: written in place */
  char *path;
  u32 entries_at, entries_length; /* of a directory, in `buffer` */
  /* Either. */
  u32 credit[3];  /* what may be sent */
  u32 room;       /* what has been consumed, and the host has not been told of */
  u32 buffered_at, buffered;
  u8 buffer[WINDOW];
};

extern struct operation operations[OPERATIONS];
extern char **environment;

struct operation *find_operation(u32 id);
/* Ends it with an error number, or 0. */
void finish(struct operation *op, int error, int stage);
void release(struct operation *op);

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
void input(const u8 *bytes, u32 length, void (*take)(u8 type, u32 id, u8 *content, u32 length));
void prepare_frames(void);

/* --- programs.c ----------------------------------------------------------------------------------------------------- */

void start_program(struct operation *op);
void give_stdin(struct operation *op, const u8 *bytes, u32 length);
void flush_stdin(struct operation *op);
void end_stdin(struct operation *op);
void signal_program(struct operation *op, int signal, int aborting);
void reap_programs(void);
/* One frame of output, if there is any and the host wants it. */
int send_output(struct operation *op, int which);
/* Nobody listens any more: it goes on, and what it prints is thrown away. */
void detach_program(struct operation *op);
/* Output of programs that nobody listens to. */
enum { DRAINS = 64 };
extern int drains[DRAINS];
void drain(int *fd);

/* --- files.c -------------------------------------------------------------------------------------------------------- */

void start_file_operation(struct operation *op, int what);
int send_file(struct operation *op);
void write_file(struct operation *op, const u8 *bytes, u32 length);
void commit_file(struct operation *op);
void abandon_file(struct operation *op);

/* --- channel.c ------------------------------------------------------------------------------------------------------ */

/* Opens the console of this name, which xenstore knows; or this file. -ENOENT: there is none of that name. */
long open_channel_named(const char *name);
long open_channel(const char *path);

/* --- start.c -------------------------------------------------------------------------------------------------------- */

/* Forwards, so that it also moves bytes to where they overlap lower ones. */
void *memcpy(void *to, const void *from, u64 length);
u32 crc_by_processor(const u8 *at, u64 length);
int processor_has_crc(void);
void *memmove(void *to, const void *from, u64 length);
void *memset(void *at, int value, u64 length);
u64 length_of(const char *text);
int begins_with(const char *text, const char *beginning);
int same_text(const char *a, const char *b);
/* Both return where the text ends now. */
char *append(char *at, const char *text);
char *append_number(char *at, u64 number);
void say(const char *text);
void pause_for(long milliseconds);
