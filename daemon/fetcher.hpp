// Has capsul-fetch, in a unit of its own, get what capsuld itself has no way to: it knows no network.
#pragma once

#include "daemon/fetch_folder.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/paths.hpp"

#include <filesystem>
#include <string>

namespace capsul {

/// Thread-safe, but one fetch of an id at a time.
class Fetcher {
  public:
    /// `programs` is the folder of capsul's own programs.
    Fetcher(const Paths& paths, fs::path programs, SystemdClient& systemd)
        : paths_(paths), programs_(std::move(programs)), systemd_(systemd), units_(paths) {}

    /// Ends what a crash left running. What was downloaded stays: it is gone on with.
    /// Called once, before anything else.
    void sweep() const;
    /// Removes what nobody has gone on with for a week.
    void expire() const;

    /// A file whose content is then folder(id)/disk. Throws Error: what capsul-fetch says,
    /// timeout, and unreachable when capsuld is stopping; the part that is there is kept for the next time.
    [[nodiscard]] FetchedFile disk(const Name& id, const DiskRequest& request, Progress& progress) const;
    /// What the sources offer. Throws Error likewise.
    [[nodiscard]] Catalogue catalogue(const CatalogueRequest& request, Progress& progress) const;

    [[nodiscard]] fs::path folder(const Name& id) const { return paths_.fetches() / id.to_string(); }
    /// Removes what is there of it.
    void forget(const Name& id) const;

  private:
    template <class Result, class Request>
    Result run(const Name& id, const Request& request, std::chrono::milliseconds limit,
               Progress& progress) const;
    void end(const std::string& unit) const;
    std::string run_unit(const std::string& unit, std::chrono::milliseconds limit, Progress& progress) const;

    const Paths& paths_;
    const fs::path programs_;
    SystemdClient& systemd_;
    const UserUnits units_;
};

} // namespace capsul
