// Has capsul-build, in a unit of its own, build an image.
#pragma once

#include "daemon/build_unit.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/own_folder.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/image_build.hpp"
#include "lib/paths.hpp"

namespace capsul {

/// Thread-safe, but one build of a name at a time.
class ImageBuilder {
  public:
    /// `programs` is the folder of capsul's own programs. `scratch` is where builds have their scratch
    /// folders: on a real disk, and every user may go there.
    ImageBuilder(const Paths& paths, fs::path programs, SystemdClient& systemd, fs::path scratch = "/var/tmp")
        : paths_(paths), programs_(std::move(programs)), scratch_(std::move(scratch)), systemd_(systemd),
          units_(paths) {}

    /// Ends and removes what a crash left, and old logs. Called once, before anything else.
    void sweep() const;
    /// Removes the logs of builds that failed more than a week ago. Called every now and then.
    void expire() const;

    /// A folder with disk.qcow2, and for a direct boot kernel, initrd and cmdline. Throws Error: what went
    /// wrong in the build, whose log then stays; timeout; no_space; and unreachable when capsuld is stopping.
    [[nodiscard]] OwnFolder build(const ImageBuild& call, Progress& progress) const;

    /// Of the last build of that name that failed.
    [[nodiscard]] fs::path log(const Name& name) const { return logs() / (name.to_string() + ".log"); }

  private:
    class Unit;
    [[nodiscard]] fs::path logs() const { return paths_.state / "builds"; }
    [[nodiscard]] BuildPlace place(const Uuid& id, const fs::path& log) const;
    void clear_up(const BuildPlace& place) const;
    void remove_scratch(const BuildPlace& place) const;
    [[noreturn]] void throw_failure(const std::string& unit, JobResult result, const ImageBuild& call) const;

    const Paths& paths_;
    const fs::path programs_;
    const fs::path scratch_;
    SystemdClient& systemd_;
    const UserUnits units_;
};

} // namespace capsul
