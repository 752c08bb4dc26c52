// The DHCP server as a child process: it may do to its own network what it must, and nothing else.
#pragma once

#include <csignal>
#include <string>
#include <vector>

namespace capsul::dhcp {

class ServerProcess {
  public:
    /// Starts it, in the network and user namespace of this process, as the first in a process namespace, and
    /// so that it ends with this process. It may only read, and only `readable` and the system; `signals` are
    /// unblocked in it. Throws std::system_error.
    ServerProcess(const std::vector<std::string>& command, const std::vector<std::string>& readable,
                  const sigset_t& signals);
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ~ServerProcess();

    /// A pidfd: readable when it has ended.
    [[nodiscard]] int fd() const noexcept { return fd_; }
    void signal(int number) const;
    /// Its exit status, or 1 when it was killed. It must have ended.
    [[nodiscard]] int exit_status() const;

  private:
    int fd_ = -1;
};

} // namespace capsul::dhcp
