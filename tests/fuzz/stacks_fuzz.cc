// Stacks that are called and returned from like a program's, and words that change without reason: walked along the memo of the
// thread's last walk and without, which must give the same frames. The stack ends at a page that cannot be read, so a read beyond
// what is readable faults.
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "core/unwind/rule_cache.h"
#include "core/unwind/unwind.h"
#include "core/unwind/walk_memo.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/loaded_tables.h"

namespace prof::fuzz {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kStackBytes = 16 * kPage;
constexpr unsigned kDepth = 300;

struct Code {
  uint64_t pc;
  UnwindRule rule;
};

// Addresses with rules that frames can be made for.
const std::vector<Code>& usual_code() {
  static const std::vector<Code> code = [] {
    std::vector<Code> found;
    Random random(1);
    const auto& all = loaded_tables();
    for (int i = 0; i < 100'000 && found.size() < 5000; ++i) {
      const LoadedTables& from = all[random.below(all.size())];
      const uint64_t pc = from.object.start + from.code_of(random.below(from.functions)) + random.below(200);
      const UnwindRule rule = rule_from_tables(pc, pc).rule;
      const bool is_usual = (rule.kind() == RuleKind::cfa_sp || rule.kind() == RuleKind::cfa_bp) &&
                            rule.bp() != BpRule::at_bp && rule.cfa_offset() >= 8 && rule.cfa_offset() <= 1024;
      if (is_usual) found.push_back({pc, rule});
    }
    return found;
  }();
  return code;
}

// What the C library's handlers return to: the kernel tells.
uint64_t signal_return() {
  signal(SIGUSR2, [](int) {});
  struct {
    uint64_t handler, flags, restorer, mask;
  } action = {};
  syscall(SYS_rt_sigaction, SIGUSR2, nullptr, &action, 8);
  return action.restorer;
}

class Stack {
 public:
  explicit Stack(Random* random) : random_(random) {
    // One page below and one above that cannot be read.
    static unsigned char* const room = [] {
      void* pages = mmap(nullptr, kStackBytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      auto* stack = static_cast<unsigned char*>(pages) + kPage;
      mprotect(stack, kStackBytes, PROT_READ | PROT_WRITE);
      return stack;
    }();
    low_ = reinterpret_cast<uint64_t>(room);
    high_ = low_ + kStackBytes;
    memset(room, 0, kStackBytes);
    restart();
  }

  const Registers& registers() const { return frames_.back(); }
  StackBounds bounds() const { return {low_, high_}; }

  void restart() {
    const Code& code = random_->one_in(64) ? Code{0, UnwindRule()} : some_code();
    frames_.assign(1, {code.pc, high_ - 8 * (1 + random_->below(64)), any_word()});
    rules_.assign(1, code.rule);
  }

  // The present function calls another.
  void call() {
    const Registers caller = frames_.back();
    const Code& code = some_code();
    const uint64_t room = random_->below(4) * 8;
    const auto offset = static_cast<uint64_t>(code.rule.cfa_offset());
    if (caller.sp < low_ + 4096) return restart();
    Registers callee = {code.pc, 0, caller.bp};
    uint64_t cfa = caller.sp;
    if (code.rule.kind() == RuleKind::cfa_sp) {
      callee.sp = cfa - offset;
    } else {
      callee.bp = cfa - offset;
      callee.sp = std::min(callee.bp, cfa - 8) - room;
    }
    // A return address is behind the call: what is looked up for it is the address that its rule was taken of.
    put(cfa - 8, caller.pc + 1);
    if (code.rule.bp() == BpRule::at_cfa) {
      put(cfa + static_cast<uint64_t>(code.rule.bp_offset()), caller.bp);
      if (code.rule.kind() == RuleKind::cfa_sp && random_->one_in(2)) callee.bp = any_word();
    }
    frames_.push_back(callee);
    rules_.push_back(code.rule);
  }

  void go_back() {
    if (frames_.size() > 1) frames_.pop_back(), rules_.pop_back();
  }

  // A handler begins, here or on another part of this stack.
  void interrupt() {
    static const uint64_t restorer = signal_return();
    const Registers& interrupted = frames_.back();
    uint64_t context = (interrupted.sp - 128 - sizeof(ucontext_t)) & ~uint64_t{15};
    if (random_->one_in(4)) context = low_ + 8192 + random_->below(256) * 16;
    if (context < low_ + 4096 || context + sizeof(ucontext_t) > high_) return;
    constexpr uint64_t kRegisters = offsetof(ucontext_t, uc_mcontext.gregs);
    put(context + kRegisters + REG_RIP * 8, interrupted.pc);
    put(context + kRegisters + REG_RSP * 8, interrupted.sp);
    put(context + kRegisters + REG_RBP * 8, interrupted.bp);
    // As its rule is looked up, one before: call() adds it again.
    frames_.push_back({restorer - 1, context, interrupted.bp});
    rules_.push_back(UnwindRule(RuleKind::signal_frame));
    call();
  }

  void spoil() {
    uint64_t at = low_ + random_->below(kStackBytes / 8) * 8;
    // Rather what is read.
    if (!random_->one_in(4)) at = frames_[random_->below(frames_.size())].sp - 8 * random_->below(4);
    uint64_t word = any_word();
    if (random_->one_in(3)) word = get(at) ^ uint64_t { 1 } << random_->below(64);
    put(at, word);
  }

  uint64_t any_word() {
    constexpr uint64_t kTempting[] = {0, 8, 4095, 4096, ~uint64_t{0}, uint64_t{1} << 63, 0x7fff'ffff'fff8};
    switch (random_->below(8)) {
      case 0:
        return random_->next();
      case 1:
        return random_->one_of(kTempting);
      case 2:
        return high_ - 16 + random_->below(32);
      case 3:
        return low_ - 16 + random_->below(32);
      case 4:
        return some_code().pc + random_->below(64);
      default:
        return low_ + random_->below(kStackBytes / 8) * 8 + (random_->one_in(16) ? random_->below(8) : 0);
    }
  }

 private:
  const Code& some_code() { return usual_code()[random_->below(usual_code().size())]; }

  void put(uint64_t at, uint64_t word) {
    if (at >= low_ && at <= high_ - 8) memcpy(reinterpret_cast<void*>(at), &word, sizeof(word));
  }
  uint64_t get(uint64_t at) const {
    uint64_t word = 0;
    if (at >= low_ && at <= high_ - 8) memcpy(&word, reinterpret_cast<const void*>(at), sizeof(word));
    return word;
  }

  Random* const random_;
  uint64_t low_;
  uint64_t high_;
  std::vector<Registers> frames_;  // the present one last
  std::vector<UnwindRule> rules_;
};

struct Captured {
  CaptureResult result;
  std::vector<uint64_t> frames;
};

template <typename Capture>
Captured captured(unsigned capacity, Capture capture) {
  // Of just the capacity.
  Captured c;
  c.frames.resize(capacity);
  c.frames.shrink_to_fit();
  c.result = capture(c.frames.data(), capacity);
  if (c.result.frames > capacity) fail("%u frames of %u", c.result.frames, capacity);
  c.frames.resize(c.result.frames);
  return c;
}

void check_walks(Random* random, const Registers& at, const StackBounds& bounds, const ucontext_t& signal_frame) {
  ucontext_t context = signal_frame;
  auto& registers = context.uc_mcontext.gregs;
  for (int i = 0; i < REG_RIP; ++i) registers[i] = static_cast<greg_t>(random->odd_number());
  registers[REG_RIP] = static_cast<greg_t>(at.pc);
  registers[REG_RSP] = static_cast<greg_t>(at.sp);
  registers[REG_RBP] = static_cast<greg_t>(at.bp);
  const unsigned capacity = static_cast<unsigned>(random->one_in(4) ? 1 + random->below(20) : kDepth);
  const unsigned thread = 7 + kWalkMemos * static_cast<unsigned>(random->below(2));
  const Captured along =
      captured(capacity, [&](uint64_t* to, unsigned n) { return capture(context, bounds, thread, to, n); });
  const Captured alone = captured(capacity, [&](uint64_t* to, unsigned n) { return capture(context, bounds, to, n); });
  if (along.result.end != alone.result.end || along.frames != alone.frames) {
    const auto differ =
        std::mismatch(along.frames.begin(), along.frames.end(), alone.frames.begin(), alone.frames.end());
    fail("along the memo %zu frames, end %u; without %zu, end %u; the first that differs is %td", along.frames.size(),
         static_cast<unsigned>(along.result.end), alone.frames.size(), static_cast<unsigned>(alone.result.end),
         differ.first - along.frames.begin());
  }
  if (random->one_in(8)) {
    StackCopy copy;
    captured(capacity, [&](uint64_t* to, unsigned n) {
      return capture(SleepingAt{at.pc, at.sp}, bounds, &copy, to, n);
    });
  }
}

}  // namespace

void stacks_round(Random* random) {
  rule_cache_forget();
  forget_walks();
  ucontext_t signal_frame = {};
  signal_frame.uc_stack.ss_flags = SS_DISABLE;
  Stack stack(random);
  if (random->one_in(4)) {
    signal_frame.uc_stack.ss_flags = 0;
    signal_frame.uc_stack.ss_sp = reinterpret_cast<void*>(stack.bounds().low + 4096);
    signal_frame.uc_stack.ss_size = 8192;
  }
  const uint64_t spoils_in = random->one_of({2u, 10u, 1000u});
  const uint64_t deepest = random->one_of({8u, 40u, 400u});
  for (int turn = 0; turn < 300; ++turn) {
    for (uint64_t i = random->below(4); i > 0; --i) stack.go_back();
    for (uint64_t i = random->below(turn == 0 ? deepest : 5); i > 0; --i) stack.call();
    if (random->one_in(32)) stack.interrupt();
    if (random->one_in(spoils_in)) stack.spoil();
    if (random->one_in(64)) stack.restart();
    if (random->one_in(64)) rule_cache_forget();
    if (random->one_in(64)) forget_walks();
    Registers at = stack.registers();
    if (random->one_in(32)) at.bp = stack.any_word();
    if (random->one_in(64)) at.sp = stack.any_word();
    if (random->one_in(64)) at.pc = stack.any_word();
    check_walks(random, at, random->one_in(8) ? StackBounds{} : stack.bounds(), signal_frame);
  }
}

}  // namespace prof::fuzz
