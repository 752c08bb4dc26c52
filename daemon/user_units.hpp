// The unit files of this user, as files: written, enabled and removed so that it survives a power cut.
#pragma once

#include "daemon/systemd_client.hpp"
#include "lib/paths.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace capsul {

enum class Written {
    unchanged, ///< it says so already, or somebody has edited it: capsul leaves it alone
    created,
    changed,
};

/// Brings a sealed file of capsul's up to date. Throws Error (wrong_state) when it is no regular file.
Written refresh_file(const fs::path& file, const std::string& wanted, unsigned mode = 0600);

/// Replaces a file unless it says so already; true when that was a change. Durable.
bool update_file(const fs::path& file, const std::string& wanted);

/// Removes a file, or a folder with all that is in it; false when it is not there.
bool remove_whole(const fs::path& path);

/// What a VM or a network is doing while systemd says `active_state` (systemctl(1)) of its unit.
template <class State>
[[nodiscard]] State state_of_unit(std::string_view active_state) {
    if (active_state == "active" || active_state == "reloading") {
        return State::running;
    }
    if (active_state == "activating") {
        return State::starting;
    }
    if (active_state == "deactivating") {
        return State::stopping;
    }
    return active_state == "failed" ? State::failed : State::stopped;
}

class UserUnits {
  public:
    explicit UserUnits(const Paths& paths) : folder_(paths.units), wants_(paths.wants()) {}

    [[nodiscard]] fs::path file(const std::string& unit) const { return folder_ / unit; }
    [[nodiscard]] fs::path wants_link(const std::string& unit) const { return wants_ / unit; }
    [[nodiscard]] bool is_enabled(const std::string& unit) const { return fs::is_symlink(wants_link(unit)); }
    /// Makes it start at boot, or not; durable. True when that is a change. A link of that name that leads
    /// elsewhere is not capsul's: it stays, and Error (exists) is thrown where it is in the way.
    bool set_enabled(const std::string& unit, bool enabled) const;
    /// Refuses to take over a file that capsul did not write: throws Error (exists). One of capsul's, which a
    /// crash may have left, is in nobody's way.
    void require_free(const std::string& unit) const;
    /// Refuses (wrong_state) to replace a unit that somebody has masked on purpose.
    void require_unmasked(const std::string& unit) const;
    /// `changed`: systemd has to be told to read it anew.
    Written write(const std::string& unit, const std::string& text) const;
    /// With its drop-ins and its link. Durable before it returns, since a unit left behind would start at
    /// boot. Costs next to nothing when there is none.
    void remove(const std::string& unit) const;
    /// Removes what a crash has left of capsul's units that were being written.
    void sweep() const;
    /// SystemdClient::take_down, for a unit that often is not there: then without asking systemd.
    void take_down(SystemdClient& systemd, const std::string& unit, std::chrono::milliseconds limit) const;

  private:
    bool set_link_that_is_there(const std::string& unit, bool enabled) const;

    fs::path folder_;
    fs::path wants_;
};

} // namespace capsul
