/* The agent: serves one channel to the host, on which the host runs programs and handles files in this guest. docs/agent.md has the protocol. Read on in loop.c. */
#include "agent.h"

static const char usage[] =
    "Usage: xenolith-agent [FILE]\n"
    "Lets the host of this Xen domain run programs and handle files in it, over the domain's channel\n"
    "org.xenolith.agent.0, or over FILE (such as /dev/hvc1; - is standard input). Ends when there is no such channel.\n";

static const char channel_name[] = "org.xenolith.agent.0";

char **environment;

static void say(const char *text) {
  sys_write(STDERR, text, length_of(text));
}

static void pause_for(long milliseconds) {
  struct timespec time;
  time.seconds = milliseconds / 1000;
  time.nanoseconds = milliseconds % 1000 * 1000000;
  sys_nanosleep(&time);
}

/* Signals are read, not delivered; programs get back what they are used to. */
static int prepare_signals(void) {
  u64 all = ~0ul, wanted = 1ul << (SIGCHLD - 1) | 1ul << (SIGTERM - 1);
  struct sigaction usual = { 0 };
  for (int signal = 1; signal < 65; signal++) sys_sigaction(signal, &usual);
  sys_sigprocmask(SIG_SETMASK, &all);
  return sys_signalfd(&wanted, O_NONBLOCK | O_CLOEXEC);
}

/* 0 to 2 are what programs get; none of ours may be among them. */
static void occupy_stdio(void) {
  long fd;
  do fd = sys_open("/dev/null", O_RDWR, 0);
  while (fd >= 0 && fd <= STDERR);
  sys_close(fd);
}

void start_agent(long *stack) {
  enum { PATIENCE = 100, STEP_MS = 100 };
  char **argv = (char **)(stack + 1);
  environment = argv + stack[0] + 1;
  const char *path = stack[0] > 1 ? argv[1] : 0;
  if (stack[0] > 2 || (path && path[0] == '-' && path[1])) {
    say(usage);
    sys_exit(2);
  }
  sys_umask(022);
  prepare_frames();
  int signals = prepare_signals();
  occupy_stdio();
  sys_chdir("/"); /* where relative paths begin */
  if (path && same_text(path, "-")) {
    sys_fcntl(STDIN, F_SETFL, O_NONBLOCK);
    serve(STDIN, signals);
    sys_exit(0);
  }
  for (int tries = 0; tries < PATIENCE; tries++) {
    int channel = path ? open_channel(path) : open_channel_named(channel_name);
    if (channel == -ENOENT && !path) sys_exit(0); /* this domain has no such channel */
    if (channel >= 0) {
      tries = 0;
      serve(channel, signals);
      sys_close(channel);
    }
    pause_for(STEP_MS); /* the console may still be on its way */
  }
  say("xenolith-agent: the channel to the host cannot be opened\n");
  sys_exit(1);
}
