/* One session, and everybody who can be in its way: nsroot-init, nsrootd and the descriptor store, and five
 * clients (who runs it, who runs one more command in it, who waits for it, who stops it, who watches it). At
 * any step the daemon may be killed and started again (CRASHES times), stopped with SIGSTOP for good or
 * stopped with its unit; a client may die, init may be killed from inside, and a command may end or run for
 * ever. tests/model/run has spin look at every order in which that can happen.
 *
 * An answer is judged when its reader has it (check_...). What is left over is judged when nothing moves any
 * more (Judge), and that it comes to that, by the absence of cycles.
 *
 * Each step that somebody else can see, or that a crash can come after, is a step here: one message, one
 * write into a memfd. Left out: bytes and their order, time (a pause of any length is an order of steps; a
 * SIGSTOP that ends is one, too), what fits into a message, orders that fail, roots, pools, who may do what,
 * paused and detached sessions, and versions of the state. The daemon's end of the control socket and the
 * pidfd are always together, as are the state and the ring. Lost connections find the listening socket again,
 * which is the service manager's.
 *
 * WITH_EXEC, WITH_WAITER, WITH_STOPPER, WITH_VIEWER, WITH_ATTACK choose who takes part. MUTANT_... is one
 * mistake each: tests/model/mutants. */

#ifndef CRASHES
#define CRASHES 1
#endif

#define MAIN    0 /* a client, and the command that it started */
#define EXEC    1 /* another, and its command */
#define WAITER  2
#define STOPPER 3
#define VIEWER  4
#define CLIENTS 5

#define MAIN_STATUS 7
#define EXEC_STATUS 3
#define KILLED      9

mtype = { Run, Exec, Wait, Stop, Attach };                              /* calls */
mtype = { Started, Result, Done, Refused, NoSuch };                     /* replies; events share some */
mtype = { Exited, Ending };                                             /* events */
mtype = { bySelf, byStop, byLifeline, byNobodyKnows };                  /* causes */
mtype = { none, starting, running, ended };                             /* a session, to the daemon */
mtype = { idle, asking, told, served, failed, dead };                   /* a client */
mtype = { closed, pending, open, lost };                                /* its connection */
mtype = { fine, killed, frozen };                                       /* the daemon */

/* -- What is held, and by whom. `live` is the control socket and the pidfd, `mem` the state and the ring. */
bool daemon_live, daemon_mem;
bool store_live, store_mem;
#define HELD (daemon_live || store_live)
bool lifeline[2];       /* its client holds the other end */

/* -- In the memfds */
mtype state_phase = none;
mtype state_cause = byNobodyKnows;
byte state_status;
bool state_killed;      /* the daemon's verdict, before it kills */
bool state_ending;      /* as init said */
bool ledger_started[2], ledger_ended[2];
byte ledger_status[2];
bool ledger_ending;

/* -- The session */
mtype pid1 = none;       /* running, ended: its pidfd is readable */
bool init_killed;       /* SIGKILL is on its way */
bool runs[2], forever[2];
chan orders = [2] of { mtype, byte };
chan events = [2] of { mtype, byte, byte };
chan view = [1] of { bit };

/* -- The clients */
mtype client[CLIENTS] = idle;
mtype connection[CLIENTS] = closed;
chan calls[CLIENTS] = [1] of { mtype };
chan replies[CLIENTS] = [2] of { mtype, mtype, byte };
bool mortal[CLIENTS];   /* this one dies, sooner or later */

/* -- What happens to the daemon, and what is true whatever anybody wrote down */
mtype fate = fine;
bool unit_stopped, attacked, forgotten, was_told;
bool true_ended[2], true_started[2];
byte true_status[2];

/* ------------------------------------------------------------------------------------------- nsroot-init */

inline die()
{
        pid1 = ended;
        runs[MAIN] = false;
        runs[EXEC] = false;
        forever[EXEC] = false;
        owes_started[MAIN] = false; owes_started[EXEC] = false; owes_exited = false;
        has_viewer = false; printed = 0; order = 0;
        if :: view?_ :: empty(view) fi
}

inline ledger_end(c, status)
{
#ifndef MUTANT_NO_LEDGER
        ledger_ended[c] = true;
        ledger_status[c] = status
#else
        skip
#endif
}

inline command_ends(c, status)
{
        runs[c] = false;
        forever[c] = false;
        true_ended[c] = true;
        true_status[c] = status
}

/* The last words: nobody waits with them, for the ledger has them. */
#ifdef MUTANT_WAIT_FOR_ROOM
#define LAST_WORDS(type, c, status) \
        if :: events!type,c,status :: !HELD fi
#else
#define LAST_WORDS(type, c, status) \
        if :: HELD && nfull(events) -> events!type,c,status :: !HELD || full(events) fi
#endif

inline start_command(c)
{
        if :: forever[c] = true :: true fi;
        runs[c] = true;
        true_started[c] = true;
#ifndef MUTANT_STARTED_NOT_IN_LEDGER
        ledger_started[c] = true;
#endif
        owes_started[c] = true
}

proctype Init()
{
        bool owes_started[2], owes_exited, has_viewer;
        byte printed;
        mtype order;

        pid1 == running;
        {
                do
                /* It takes an order while there is one, and ends at the end of file behind the last. */
                :: atomic { orders?order,_ ->
                        if
                        :: order == Run -> start_command(MAIN)
                        :: order == Exec -> start_command(EXEC)
                        :: order == Attach -> has_viewer = true
                        fi;
                        order = 0 }
                :: atomic { !HELD && empty(orders) -> die(); break }

                /* What does not fit now is said later. Nothing else waits for that. */
                :: atomic { owes_started[MAIN] && HELD && nfull(events) ->
                        owes_started[MAIN] = false; events!Started,MAIN,0 }
                :: atomic { !owes_started[MAIN] && owes_started[EXEC] && HELD && nfull(events) ->
                        owes_started[EXEC] = false; events!Started,EXEC,0 }
                :: atomic { owes_exited && !owes_started[EXEC] && HELD && nfull(events) ->
                        owes_exited = false; events!Exited,EXEC,true_status[EXEC] }
#ifdef MUTANT_WAIT_FOR_ROOM
                :: atomic { owes_started[EXEC] && full(events) -> nfull(events) || !HELD }
#endif

                /* The main command ends, and the session with it. */
                :: atomic { runs[MAIN] && !forever[MAIN] ->
                        command_ends(MAIN, MAIN_STATUS); ledger_end(MAIN, MAIN_STATUS) };
                   atomic { LAST_WORDS(Exited, MAIN, MAIN_STATUS); die(); break }

                /* Its client is gone. */
                :: atomic { runs[MAIN] && !lifeline[MAIN] ->
#ifndef MUTANT_REASON_IN_EVENT_ONLY
                        ledger_ending = true;
#endif
                        skip };
                   atomic { LAST_WORDS(Ending, MAIN, 0); die(); break }

                /* The other command ends, by itself or with its client; nothing else does. */
                :: atomic { runs[EXEC] && (!forever[EXEC] || !lifeline[EXEC]) ->
                        if
                        :: !forever[EXEC] -> command_ends(EXEC, EXEC_STATUS)
                        :: !lifeline[EXEC] -> command_ends(EXEC, KILLED)
                        fi;
#ifdef MUTANT_EXEC_ENDS_SESSION
                        if :: !lifeline[EXEC] -> die(); break :: else fi;
#endif
#ifdef MUTANT_EVENT_BEFORE_LEDGER
                        if
                        :: !owes_started[EXEC] && HELD && nfull(events) -> events!Exited,EXEC,true_status[EXEC]
                        :: owes_started[EXEC] || !HELD || full(events) -> owes_exited = true
                        fi };
                   atomic { ledger_end(EXEC, true_status[EXEC]) }
#else
                        ledger_end(EXEC, true_status[EXEC]); owes_exited = true }
#endif

                /* A line of output: to whoever watches, if he has room. */
                :: atomic { runs[MAIN] && has_viewer && printed < 2 ->
                        printed++;
                        if
#ifdef MUTANT_WAIT_FOR_VIEWER
                        :: view!0
#else
                        :: nfull(view) -> view!0
                        :: full(view)
#endif
                        :: client[VIEWER] == dead -> has_viewer = false
                        fi }
                od
        } unless {
                atomic { init_killed && pid1 == running -> die() }
        }
}

/* ------------------------------------------------------------------------------------------------ nsrootd */

inline answer(c, type, cause, status)
{
        if
        :: connection[c] == open -> replies[c]!type,cause,status
        :: connection[c] != open
        fi
}

inline tell(c, type, cause, status)
{
        if
        :: watches[c] -> watches[c] = false; answer(c, type, cause, status)
        :: !watches[c]
        fi
}

inline kill_init()
{
        if :: pid1 == running -> init_killed = true :: else fi
}

inline push()
{
        store_live = true;
        store_mem = true
}

/* From the store, in one go: nobody is served before. */
inline take_up()
{
        daemon_live = store_live;
        daemon_mem = store_mem;
        if
        :: !store_mem -> daemon_live = false
        :: store_mem && state_phase == ended -> /* the one before us may not have come to that */
                daemon_live = false;
#ifndef MUTANT_DROP_ONCE
                store_live = false;
#endif
                skip
        :: store_mem && state_phase != ended && !store_live -> /* part of it is missing: it ends */
                store_mem = false;
                daemon_mem = false
        :: store_mem && state_phase != ended && store_live ->
                if :: ledger_started[MAIN] -> state_phase = running :: else fi;
#ifndef MUTANT_NO_SECOND_KILL
                if :: state_killed -> kill_init() :: else fi;
#endif
                skip
        fi;
        if :: !store_mem -> store_live = false :: else fi
}

inline launch()
{
        /* The clone */
        atomic {
                calls[MAIN]?Run;
                connection[MAIN] = open;
                daemon_live = true;
                daemon_mem = true;
                state_phase = starting;
                pid1 = running
        };
        orders!Run,MAIN;
#ifndef MUTANT_PUSH_AFTER_REPLY
        atomic { push() };
#endif
        atomic { watches[MAIN] = true; is_run = true }
}

inline forget_event()
{
        type = 0; command = 0; status = 0
}

inline on_event()
{
        atomic { events?type,command,status };
        if
        :: atomic { type == Started && command == MAIN ->
                state_phase = running; answer(MAIN, Started, bySelf, 0); forget_event() };
#ifdef MUTANT_PUSH_AFTER_REPLY
                atomic { push() };
#endif
        :: atomic { type == Started && command == EXEC ->
                if :: watches[EXEC] -> answer(EXEC, Started, bySelf, 0) :: !watches[EXEC] fi;
                forget_event() }
        :: atomic { type == Exited && command == EXEC -> tell(EXEC, Result, bySelf, status); forget_event() }
        :: atomic { type == Exited && command == MAIN -> has_result = true; result_status = status; forget_event() }
        :: atomic { type == Ending -> state_ending = true; forget_event() }
        fi
}

/* The ledger, or what its init said, or our own verdict, or what init said of itself. */
inline find_result()
{
        state_phase = ended;
        state_status = KILLED;
        if
        :: ledger_ended[MAIN] -> state_cause = bySelf; state_status = ledger_status[MAIN]
        :: !ledger_ended[MAIN] && has_result -> state_cause = bySelf; state_status = result_status
        :: else ->
                if
                :: state_killed -> state_cause = byStop
                :: !state_killed && (state_ending || ledger_ending) -> state_cause = byLifeline
                :: else -> state_cause = byNobodyKnows
                fi
        fi
}

inline finish()
{
#if defined(MUTANT_DROP_BEFORE_RECORD)
        atomic { pid1 == ended -> store_live = false };
        atomic { find_result() };
#elif defined(MUTANT_REMOVE_AND_PUSH_AGAIN)
        atomic { find_result() };
        atomic { if :: store_mem -> store_live = false; store_mem = false; was_stored = true :: else fi };
        atomic { if :: was_stored -> store_mem = true; was_stored = false :: else fi };
#else
        atomic { find_result() };
        store_live = false;
#endif
        atomic {
                daemon_live = false;
                init_killed = false;
                tell(WAITER, Result, state_cause, state_status);
                tell(STOPPER, Done, bySelf, 0);
                if
                :: ledger_ended[EXEC] -> tell(EXEC, Result, bySelf, ledger_status[EXEC])
                :: else -> tell(EXEC, Result, bySelf, KILLED)
                fi };
        /* Who ran it was told: nobody else has to find it after us. */
#ifdef MUTANT_FORGET_BEFORE_TELLING
        atomic { if :: is_run -> store_mem = false :: else fi };
#endif
        atomic { tell(MAIN, Result, state_cause, state_status) };
        atomic {
                has_result = false; result_status = 0;
                if :: is_run -> is_run = false; store_mem = false; forgotten = true :: else fi }
}

inline wait(c)
{
        calls[c]?Wait;
        connection[c] = open;
        if
        :: !daemon_mem -> answer(c, NoSuch, bySelf, 0)
        :: daemon_mem && state_phase == ended -> answer(c, Result, state_cause, state_status)
        :: else -> watches[c] = true
        fi
}

inline wait_command()
{
        calls[EXEC]?Wait;
        connection[EXEC] = open;
        if
        :: !daemon_mem || (!ledger_started[EXEC] && !ledger_ended[EXEC]) -> answer(EXEC, NoSuch, bySelf, 0)
        :: daemon_mem && ledger_ended[EXEC] -> answer(EXEC, Result, bySelf, ledger_status[EXEC])
        :: daemon_mem && ledger_started[EXEC] && !ledger_ended[EXEC] ->
                if
                :: state_phase == ended -> answer(EXEC, Result, bySelf, KILLED)
                :: else -> watches[EXEC] = true
                fi
        fi
}

/* An order that its init has no room for is refused: the daemon waits for no session. */
inline exec()
{
        calls[EXEC]?Exec;
        connection[EXEC] = open;
        if
        :: daemon_live && state_phase == running && nfull(orders) -> orders!Exec,EXEC; watches[EXEC] = true
        :: !(daemon_live && state_phase == running) || full(orders) -> answer(EXEC, Refused, bySelf, 0)
        fi
}

/* The stream goes to init, and is none of our business any more. */
inline attach()
{
        calls[VIEWER]?Attach;
        connection[VIEWER] = closed;
        if
        :: daemon_live && state_phase == running && nfull(orders) -> orders!Attach,VIEWER
        :: !(daemon_live && state_phase == running) || full(orders)
        fi
}

inline stop()
{
        atomic {
                calls[STOPPER]?Stop;
                connection[STOPPER] = open;
                if
                :: !daemon_live -> answer(STOPPER, Done, bySelf, 0)
                :: else -> watches[STOPPER] = true
                fi };
        if
        :: watches[STOPPER] ->
#ifdef MUTANT_KILL_BEFORE_RECORD
                atomic { kill_init() };
                state_killed = true
#else
                state_killed = true;
                atomic { kill_init() }
#endif
        :: else
        fi
}

/* What the kernel does when it is gone: what it read is lost, what it wrote can still be read. */
inline daemon_dies()
{
        daemon_live = false;
        daemon_mem = false;
        forget_event();
        has_result = false; result_status = 0; is_run = false;
#ifdef MUTANT_REMOVE_AND_PUSH_AGAIN
        was_stored = false;
#endif
        i = 0;
        do
        :: i < CLIENTS ->
                watches[i] = false;
                if :: connection[i] == open -> connection[i] = lost :: else fi;
                i++
        :: else -> i = 0; break
        od
}

proctype Daemon()
{
        bool watches[CLIENTS], has_result, is_run;
#ifdef MUTANT_REMOVE_AND_PUSH_AGAIN
        bool was_stored;
#endif
        mtype type;
        byte command, status, result_status, i;

boot:
        {
                atomic { take_up() };
                do
                :: calls[MAIN]?[Run] -> launch()
                :: atomic { calls[MAIN]?[Wait] -> wait(MAIN) }
                :: atomic { calls[EXEC]?[Exec] -> exec() }
                :: atomic { calls[EXEC]?[Wait] -> wait_command() }
                :: atomic { calls[WAITER]?[Wait] -> wait(WAITER) }
                :: atomic { calls[VIEWER]?[Attach] -> attach() }
                :: calls[STOPPER]?[Stop] -> stop()
                :: daemon_live && nempty(events) -> on_event()
                :: daemon_live && pid1 == ended && empty(events) -> finish()
                od
        } unless {
                fate != fine
        };
        if
        :: atomic { fate == killed && !unit_stopped -> d_step { daemon_dies(); fate = fine }; goto boot }
        :: atomic { fate == killed && unit_stopped -> d_step { daemon_dies() } };
           atomic { store_live = false; store_mem = false }
        :: fate == frozen
        fi
}

/* What comes from outside: once nothing more comes. */
proctype Fate()
{
        byte crashes;

        do
        :: atomic { crashes < CRASHES && fate == fine && state_phase != none -> crashes++; fate = killed };
           fate == fine
#ifdef WITH_ATTACK
        :: atomic { pid1 == running && !attacked -> attacked = true; init_killed = true }
#endif
        :: atomic { fate = frozen; crashes = 0; break }
        :: atomic { unit_stopped = true; fate = killed; crashes = 0; break }
        :: atomic { crashes = 0; break }
        od
}

/* ------------------------------------------------------------------------------------------------ clients */

inline client_ends(c, how)
{
        client[c] = how;
        mortal[c] = false;
        connection[c] = closed;
        do
        :: calls[c]?_
        :: empty(calls[c]) -> break
        od;
        do
        :: replies[c]?_,_,_
        :: empty(replies[c]) -> break
        od;
        if :: c <= EXEC -> lifeline[c] = false :: else fi;
        reply = 0; cause = 0; status = 0
}

#define LOST(c) (connection[c] == lost && empty(replies[c]))

/* Exactly what its init recorded; if it recorded nothing, the reason there was. */
inline check_session()
{
        assert(true_ended[MAIN] -> (cause == bySelf && status == true_status[MAIN]) : cause != bySelf);
        assert(cause == byStop -> state_killed : true);
        assert(cause == byLifeline -> !lifeline[MAIN] : true);
        assert(cause == byNobodyKnows -> attacked : true)
}

inline check_command()
{
        assert(true_ended[EXEC] -> status == true_status[EXEC] : (status == KILLED && pid1 == ended))
}

inline check(c)
{
        if
        :: c == EXEC -> check_command()
        :: else -> check_session()
        fi
}

/* Run and Exec: until the first reply a lost connection is a failure, afterwards a reason to ask again. */
proctype Runner(byte c; mtype method)
{
        mtype reply, cause;
        byte status;

        if :: c == EXEC -> was_told :: else fi;
        atomic {
                if :: mortal[c] = true :: true fi;
                client[c] = asking; connection[c] = pending; calls[c]!method };
        do
        :: atomic { replies[c]?reply,cause,status ->
                if
                :: reply == Started -> client[c] = told; if :: c == MAIN -> was_told = true :: else fi
                :: reply == Result -> check(c); client_ends(c, served); break
                :: else -> assert(client[c] != told); client_ends(c, failed); break
                fi }
        :: atomic { LOST(c) ->
                if
                :: client[c] == asking -> client_ends(c, failed); break
                :: client[c] == told -> connection[c] = pending; calls[c]!Wait
                fi }
        :: atomic { mortal[c] -> client_ends(c, dead); break }
        od
}

proctype Waits()
{
        mtype reply, cause;
        byte status;

        was_told;
        atomic { client[WAITER] = asking; connection[WAITER] = pending; calls[WAITER]!Wait };
        do
        :: atomic { replies[WAITER]?reply,cause,status ->
                if
                :: reply == Result -> check_session(); client_ends(WAITER, served)
                :: reply == NoSuch -> assert(forgotten); client_ends(WAITER, failed)
                fi;
                break }
        :: atomic { LOST(WAITER) -> connection[WAITER] = pending; calls[WAITER]!Wait }
        od
}

proctype Stops()
{
        mtype reply, cause;
        byte status;

        was_told;
        atomic { client[STOPPER] = asking; connection[STOPPER] = pending; calls[STOPPER]!Stop };
        if
        :: atomic { replies[STOPPER]?reply,cause,status -> assert(pid1 == ended); client_ends(STOPPER, served) }
        :: atomic { LOST(STOPPER) -> client_ends(STOPPER, failed) }
        fi
}

/* Does not read what it watches, and may go at any time. One that reads is one that less is written to. */
proctype Watches()
{
        was_told;
        atomic { client[VIEWER] = served; connection[VIEWER] = pending; calls[VIEWER]!Attach };
        if
        :: atomic { client[VIEWER] = dead; if :: calls[VIEWER]?Attach :: empty(calls[VIEWER]) fi }
        :: true
        fi
}

/* -------------------------------------------------------------------------------- when nothing moves any more */

#define UP (fate == fine)
#define IS_SERVED(c) (client[c] != asking && client[c] != told)

proctype Judge()
{
        timeout;
        d_step {
                /* A session ends with the last who holds it, and with its client; a command with its own. */
                assert(HELD || pid1 != running);
                assert(lifeline[MAIN] || !runs[MAIN]);
                assert(lifeline[EXEC] || !runs[EXEC]);
                assert(!unit_stopped || pid1 != running);

                /* And with nothing else. */
                assert(!runs[MAIN] || forever[MAIN]);
                assert(!runs[EXEC] || forever[EXEC]);
                assert(!(true_started[MAIN] && forever[MAIN] && lifeline[MAIN] && HELD) || runs[MAIN] ||
                       state_killed || attacked);

                /* Who may wait is who waits for something that runs. */
                assert(!UP || IS_SERVED(MAIN) || (client[MAIN] == told && runs[MAIN]));
                assert(!UP || IS_SERVED(EXEC) || (client[EXEC] == told && runs[EXEC]));
                assert(!UP || IS_SERVED(WAITER) || runs[MAIN]);
                assert(!UP || IS_SERVED(STOPPER));
                assert(!UP || !state_killed || pid1 != running);

                /* Nothing that has ended is held. */
                assert(!UP || pid1 == running || (!daemon_live && !store_live))
        }
}


init {
        atomic {
                lifeline[MAIN] = true;
                lifeline[EXEC] = true;
                run Daemon();
                run Init();
                run Fate();
                run Runner(MAIN, Run);
#ifdef WITH_EXEC
                run Runner(EXEC, Exec);
#endif
#ifdef WITH_WAITER
                run Waits();
#endif
#ifdef WITH_STOPPER
                run Stops();
#endif
#ifdef WITH_VIEWER
                run Watches();
#endif
                run Judge()
        }
}
