// A user's systemd for tests: speaks the part of org.freedesktop.systemd1(5) that capsul uses on a private
// socket, and really runs the services whose files are in a folder.
//
//     FakeSystemd systemd({.socket = dir / "private", .units = dir / "units", .runtime = dir / "run"});
//     SystemdClient client(systemd.socket(), "capsul-vm-*.service", …);
//
// Like systemd, it reads a unit file when the unit is loaded, forgets a stopped unit at once, and keeps a
// failed one. It knows Requires= and Wants= (started before), but no other dependency, no Restart=, no start
// limit and no sandbox; a socket unit opens no socket.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace capsul::test {

struct FakeSystemdFolders {
    std::filesystem::path socket;
    std::filesystem::path units;   ///< unit files
    std::filesystem::path runtime; ///< %t; what a unit prints is in UNIT.log there
    std::filesystem::path home{};  ///< %h
};

class FakeSystemd {
  public:
    explicit FakeSystemd(FakeSystemdFolders folders);
    /// Kills every process it started.
    ~FakeSystemd();
    FakeSystemd(const FakeSystemd&) = delete;
    FakeSystemd& operator=(const FakeSystemd&) = delete;

    [[nodiscard]] const std::filesystem::path& socket() const;

    /// How often each method was called since the start or reset_calls(), by its name ("StartUnit", "Get",
    /// "GetAll").
    [[nodiscard]] std::map<std::string, int> calls() const;
    void reset_calls();

    /// Closes all connections and the socket, while units run on; and opens the socket again.
    void go_away();
    void come_back();
    /// Both: what `systemctl --user daemon-reexec` looks like to a client.
    void reexecute();
    /// From now on the answer to StartUnit and StopUnit comes after the end of the job.
    void answer_jobs_late();
    /// From now on what ResetFailedUnit changes is told only once a job is asked for.
    void tell_resets_late();
    /// From now on calls are counted but not answered.
    void stop_answering();

  private:
    class Manager;
    std::unique_ptr<Manager> manager_;
};

} // namespace capsul::test
