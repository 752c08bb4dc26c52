// capsulctl itself, run against a daemon that a test makes up, on pipes or on a terminal.
#pragma once

#include "daemon/server.hpp"
#include "lib/operation.hpp"
#include "lib/vm.hpp"
#include "tests/integration/fake_peer.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace capsul::test {

/// A daemon with the calls that the test adds to `router` before it runs anything.
class MadeUpDaemon {
  public:
    MadeUpDaemon();
    ~MadeUpDaemon();
    MadeUpDaemon(const MadeUpDaemon&) = delete;
    MadeUpDaemon& operator=(const MadeUpDaemon&) = delete;

    Router router;
    std::atomic<int> calls = 0; ///< operations begun

    /// Answers C with an operation that has ended: with `result`, or as `failure` says.
    template <Call C>
    void add_done(const typename C::Result& result) {
        router.add<C>([this, result](const C&) { return ended(encode(result), std::nullopt); });
    }
    template <Call C>
    void add_failed(const Error& failure) {
        router.add<C>([this, failure](const C&) { return ended(std::nullopt, Problem::from(failure)); });
    }
    /// Answers C with an operation that has ended with what `work` makes of the call; its Error is that of
    /// the operation.
    template <Call C, class Work>
    void add_work(Work work) {
        router.add<C>([this, work](const C& call) {
            try {
                return ended(encode(work(call)), std::nullopt);
            } catch (const Error& error) {
                return ended(std::nullopt, Problem::from(error));
            }
        });
    }

    /// Serves from now on.
    void serve();
    /// Serves no more. Whoever adds members to this that its answers use calls it before they go.
    void stop();
    [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
    /// In it, programs that capsulctl finds before those of the system.
    [[nodiscard]] std::filesystem::path programs() const { return folder_.path() / "bin"; }
    [[nodiscard]] std::filesystem::path socket() const { return folder_.path() / "s"; }

  private:
    Operation ended(const std::optional<Json>& result, const std::optional<Problem>& error);

    TemporaryFolder folder_;
    std::mutex mutex_;
    std::map<Uuid, Operation> operations_;
    std::unique_ptr<Server> server_;
    std::thread thread_;
};

/// A capsulctl that runs; killed when this goes.
class Capsulctl {
  public:
    enum class On { pipes, terminal };

    Capsulctl(const MadeUpDaemon& daemon, const std::vector<std::string>& words, On on = On::pipes);
    ~Capsulctl();
    Capsulctl(const Capsulctl&) = delete;
    Capsulctl& operator=(const Capsulctl&) = delete;

    /// Writes to its standard input; false when it takes no more for three seconds.
    bool type(std::string_view bytes);
    void end_of_input() { input_.reset(); }
    /// Reads its output until that holds `text`; false when ten seconds pass or it ends before.
    bool shows(const std::string& text);
    void send_signal(int number) const;
    /// Waits without reading; false after ten seconds.
    [[nodiscard]] bool ends() const;
    /// Reads all its output and waits: the exit code, 128 + the signal that ended it, or -1 after ten
    /// seconds.
    int wait();

    std::string out; ///< what was read so far; on a terminal also what went to standard error
    std::string err;

  private:
    bool read_some();

    pid_t pid_ = -1;
    UniqueFd pidfd_;
    UniqueFd input_;
    UniqueFd output_;
    UniqueFd errors_;
};

/// Runs it to its end, with nothing on its standard input.
struct Outcome {
    int code;
    std::string out;
    std::string err;
};
Outcome run_capsulctl(const MadeUpDaemon& daemon, const std::vector<std::string>& words,
                      Capsulctl::On on = Capsulctl::On::pipes);

/// A VM as the daemon would show it.
Vm made_up_vm(const std::string& name, VmState state);

} // namespace capsul::test
