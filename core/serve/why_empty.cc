#include "core/serve/why_empty.h"

#include "core/serve/shown_text.h"

namespace prof {
namespace {

using Sentences = std::vector<std::string>;

const char* variable_of(ProfileKind kind) {
  static constexpr const char* kVariables[] = {"PROF_CPU",    "PROF_HEAP", "PROF_ALLOCS", "PROF_BLOCK", "PROF_MUTEX",
                                               "PROF_THREAD", "PROF_WALL", "PROF_STACKS", "PROF_TRACE"};
  return kVariables[static_cast<unsigned>(kind)];
}

void say_switch(const KindStatus& kind, Sentences* sentences) {
  const std::string variable = variable_of(kind.setting.kind);
  switch (kind.setting.recording) {
    case Recording::off:
      sentences->push_back("It is not switched on (" + variable + " would, when the program starts).");
      return;
    case Recording::at_request:
      sentences->push_back("It is recorded only while somebody asks for it.");
      return;
    case Recording::from_request:
      sentences->push_back("Nobody has asked for it yet: the first request switches it on (or " + variable +
                           ", when the program starts).");
      return;
    case Recording::always:
    case Recording::on:
      return;
  }
}

void say_sigprof(const Status& status, Sentences* sentences) {
  if (status.losses_of(LossCause::sigprof_taken) != 0) {
    sentences->push_back("The program handles SIGPROF itself. It keeps the signal, and libprof has none to sample by.");
  }
  const size_t blocking = status.process.sigprof_blocked_by.size();
  if (blocking != 0) {
    sentences->push_back(count_text(blocking) + " of " + counted_text(status.threads, "thread") +
                         (blocking == 1 ? " blocks" : " block") + " SIGPROF: what they do meanwhile is not sampled.");
  }
}

void say_cpu(const Status& status, const KindStatus& kind, Sentences* sentences) {
  say_sigprof(status, sentences);
  if (const uint64_t refused = status.losses_of(LossCause::timer_refused); refused != 0) {
    sentences->push_back("The kernel refused a timer " + counted_text(refused, "time") +
                         ": these threads are not sampled (see ulimit -i).");
  }
  if (kind.samples != 0) return;
  const std::string up = duration_text(status.process.now_unix_ns - status.process.started_unix_ns);
  std::string text =
      "The program has used " + duration_text(status.process.cpu_ns) + " of CPU time in the " + up + " since its start";
  if (status.settings.cpu_period_ns > 0)
    text += "; a sample is taken each " + duration_text(status.settings.cpu_period_ns) + " of it";
  sentences->push_back(text + ". While it waits it has none: the wall and block profiles show that.");
}

// Of a kind whose rate may be 0. True: it is.
bool say_no_rate(const KindStatus& kind, bool has_rate, Sentences* sentences) {
  if (has_rate || kind.setting.recording != Recording::on) return false;
  sentences->emplace_back("Its rate is 0: nothing is recorded of it, until another is set.");
  return true;
}

void say_heap(const Status& status, const KindStatus& kind, Sentences* sentences) {
  if (!status.foreign_malloc.empty()) {
    sentences->push_back("The program's malloc is that of " + status.foreign_malloc +
                         ": its calls do not come by libprof.");
    return;
  }
  if (say_no_rate(kind, status.settings.heap_rate != 0, sentences)) return;
  if (kind.samples != 0 || kind.setting.recording != Recording::on) return;
  std::string text = "Too little was allocated since " + utc_text(kind.setting.since_unix_ns);
  if (status.settings.heap_rate > 1) {
    text += ": a sample is taken every " + bytes_text(status.settings.heap_rate) +
            " on average (PROF_HEAP_RATE=1 takes each)";
  }
  sentences->push_back(text +
                       ". What was allocated before is not in it, nor what the program maps itself "
                       "(PROF_HEAP_MMAP=1).");
}

void say_block(const Status& status, const KindStatus& kind, Sentences* sentences) {
  if (status.waits_now != 0) {
    sentences->push_back("A wait is counted when it ends: " + count_text(status.waits_now) +
                         (status.waits_now == 1 ? " goes" : " go") + " on now, the longest for " +
                         duration_text(status.longest_wait_now_ns) + ".");
  }
  if (say_no_rate(kind, status.settings.block_rate_ns != 0, sentences)) return;
  if (kind.samples != 0 || kind.setting.recording != Recording::on) return;
  std::string text = "No wait has ended since " + utc_text(kind.setting.since_unix_ns);
  if (status.settings.block_rate_ns > 1) {
    text += " that was longer than " + duration_text(status.settings.block_rate_ns) +
            " (of shorter ones a part is recorded)";
  }
  sentences->push_back(text +
                       ". Waits that go past pthread's and C11's calls are not seen: std::atomic::wait, "
                       "Rust's std::sync, input and output.");
}

void say_mutex(const Status& status, const KindStatus& kind, Sentences* sentences) {
  if (say_no_rate(kind, status.settings.mutex_fraction != 0, sentences)) return;
  if (kind.samples != 0 || kind.setting.recording != Recording::on) return;
  std::string text =
      "No thread has been kept waiting for a mutex or a read-write lock since " + utc_text(kind.setting.since_unix_ns);
  if (status.settings.mutex_fraction > 1) {
    text += ", or one of the few: of " + count_text(status.settings.mutex_fraction) + " such unlocks one is recorded";
  }
  sentences->push_back(text + ".");
}

void say_threadcreate(const KindStatus& kind, Sentences* sentences) {
  if (kind.samples != 0 || kind.setting.recording != Recording::on) return;
  sentences->push_back("No thread was created since " + utc_text(kind.setting.since_unix_ns) +
                       ". Those that were there before are not in it, nor those made past pthread.");
}

}  // namespace

std::vector<std::string> why_empty(const Status& status, const KindStatus& kind) {
  Sentences sentences;
  if (status.settings.is_paused && kind.setting.kind != ProfileKind::stacks) {
    sentences.emplace_back("The program has paused recording (prof_pause), and not resumed it yet.");
  }
  say_switch(kind, &sentences);
  switch (kind.setting.kind) {
    case ProfileKind::cpu:
      say_cpu(status, kind, &sentences);
      break;
    case ProfileKind::heap:
    case ProfileKind::allocs:
      say_heap(status, kind, &sentences);
      break;
    case ProfileKind::block:
      say_block(status, kind, &sentences);
      break;
    case ProfileKind::mutex:
      say_mutex(status, kind, &sentences);
      break;
    case ProfileKind::threadcreate:
      say_threadcreate(kind, &sentences);
      break;
    case ProfileKind::wall:
      say_sigprof(status, &sentences);
      if (kind.samples == 0 && kind.setting.recording == Recording::on) {
        sentences.emplace_back("No thread has been looked at yet.");
      }
      break;
    case ProfileKind::stacks:
      say_sigprof(status, &sentences);
      break;
    case ProfileKind::trace:
    case ProfileKind::count:
      break;
  }
  if (status.losses_of(LossCause::region_full) != 0) {
    sentences.push_back("libprof got no more memory: " +
                        counted_text(status.losses_of(LossCause::region_full), "event") + " of all kinds are missing.");
  }
  return sentences;
}

}  // namespace prof
