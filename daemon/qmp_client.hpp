// QEMU's machine protocol (QMP) on one Unix socket. Knows no capsul noun.
#pragma once

#include "lib/fields.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace capsul {

/// One connection to one QEMU, for its whole life: a QMP socket serves one client at a time, so commands and
/// events share it. Thread-safe. Everything QEMU sends is bounded (1 MiB a line, depth 32) and checked.
class QmpClient {
  public:
    /// Called on the client's reader thread for each event, such as "STOP", "RESUME", "SHUTDOWN", and with an
    /// empty name once when the connection ends. Must be quick; must not call execute().
    using OnEvent = std::function<void(const std::string& event, const Json& data)>;

    /// Connects and negotiates. When the socket is not there yet, waits for it (inotify on its folder, no
    /// polling) until `limit`. Throws Error: timeout, unreachable, internal (not QMP). `cancelled` is asked
    /// about whenever something changed or at most every 100 ms, so that a QEMU that died early does not cost
    /// the whole limit; when it returns true, throws Error unreachable.
    QmpClient(const std::filesystem::path& socket, std::chrono::milliseconds limit, OnEvent on_event,
              const std::function<bool()>& cancelled = {});
    ~QmpClient();
    QmpClient(const QmpClient&) = delete;
    QmpClient& operator=(const QmpClient&) = delete;

    /// The "return" of a command. Throws Error: internal with QEMU's words (not_found when there is no such
    /// device), timeout, unreachable.
    Json execute(const std::string& command, const Json& arguments = Json::object(),
                 std::chrono::milliseconds limit = std::chrono::seconds(5));
    /// Gives QEMU a copy of `descriptor`, for a command that names it. Throws likewise.
    void give(const std::string& name, int descriptor,
              std::chrono::milliseconds limit = std::chrono::seconds(5));
    /// Gives QEMU a copy of `descriptor`, for a command that names a file: the name of that "file". Throws
    /// likewise.
    [[nodiscard]] std::string give_file(int descriptor,
                                        std::chrono::milliseconds limit = std::chrono::seconds(5));
    /// Takes it back; what has opened it keeps it open.
    void take_file(const std::string& file, std::chrono::milliseconds limit = std::chrono::seconds(5));
    [[nodiscard]] bool connected() const noexcept;
    /// Waits up to `limit` until QEMU has closed the connection and all that it said before has been told.
    void wait_until_ended(std::chrono::milliseconds limit);

  private:
    class Session;
    std::shared_ptr<Session> session_;
};

} // namespace capsul
