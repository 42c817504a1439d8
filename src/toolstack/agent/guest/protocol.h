/* What agent and host say to each other: the numbers of src/toolstack/agent/protocol.ts. docs/agent.md says what they mean. */

enum { VERSION = 1 };
/* "XLAG" */
#define MAGIC 0x47414c58u
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
/* What a RESET says of the programs of an earlier session. */
enum { DETACH = 0, KILL = 1 };
/* What an OPEN asks for. */
enum { EXEC = 1, READ = 2, WRITE = 3, LIST = 4, STAT = 5, MKDIR = 6, REMOVE = 7 };
/* Flags of a program, and of a file operation. */
enum { HAS_STDIN = 1 };
enum { FOLLOW = 1, RECURSIVE = 2, IN_PLACE = 4, HAS_MODE = 8 };

/* To the host. */
enum { HELLO = 0x81, STARTED = 0x82, OUTPUT = 0x83, ENDED = 0x84, ROOM = 0x85, EXITED = 0x86, RESULT = 0x87 };
/* Where a program failed to start, in a RESULT; a file operation fails AT_START. */
enum { AT_START = 0, AT_CWD = 1, AT_COMMAND = 2 };
/* Of a program; what is read of a file goes as STDOUT. */
enum { STDIN = 0, STDOUT = 1, STDERR = 2, STREAMS = 3 };
