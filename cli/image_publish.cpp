// image publish.
#include "lib/image_publish.hpp"
#include "cli/commands.hpp"
#include "cli/image_view.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct PublishFlags {
    std::string vm;
    std::string image;
};

/// Who removes what made the VM a machine of its own, and why not somebody better.
void tell_identity(Session& session, const std::string& subject, const std::string& vm,
                   const ImagePublished& result) {
    if (result.image.published && result.image.published->cleaned) {
        session.note(subject +
                     ": cleaned by virt-sysprep: machine-id, ssh host keys, cloud-init state, logs and "
                     "leases are not in it; VMs made from it get their own at their first boot");
        session.note(subject + ": a guest without cloud-init has to make its ssh host keys itself");
        return;
    }
    if (result.not_cleaned) {
        session.note(fmt::format("{}: virt-sysprep could not clean it: {}", subject, *result.not_cleaned));
    }
    session.note(subject + ": cleaned at the first boot of each VM made from it, by the guest's cloud-init: "
                           "new machine-id and ssh host keys, old logs and leases removed");
    session.note(fmt::format("{}: a guest without cloud-init would keep the identity of {}", subject, vm));
    if (!result.not_cleaned) {
        session.note(
            subject +
            ": with virt-sysprep on this host (package guestfs-tools) the image itself would be cleaned");
    }
}

/// What is in the image that should not be, and what is not that might be missed.
void tell(Session& session, const std::string& subject, const std::string& vm, const ImagePublished& result) {
    session.note(fmt::format("{}: made of the disk of {}", subject, vm));
    tell_identity(session, subject, vm, result);
    if (!result.left_out.empty()) {
        session.note(
            fmt::format("{}: only the first disk is in it, not {}", subject,
                        joined(result.left_out, [](const DiskName& name) { return name.to_string(); })));
    }
}

void publish(Session& session, const PublishFlags& flags) {
    const ImagePublish call{Name::parse(flags.vm), Name::parse(flags.image)};
    const std::string subject = "image " + flags.image;
    about(subject, [&] {
        const ImagePublished result = session.run(call, subject);
        tell(session, subject, flags.vm, result);
        print_made<Image>(session.out(), session.output_options(), result.image, image_columns());
    });
}

} // namespace

void add_image_publish(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "publish", "Make an image of a stopped VM's disk, for others like it",
                    "capsulctl stop golden && capsulctl image publish golden web-base\n"
                    "capsulctl vm create web1 --image web-base    # another machine, with what golden had");
    auto flags = std::make_shared<PublishFlags>();
    command.add_option("VM", flags->vm, "The VM; it stays as it is")->required()->type_name("VM");
    command.add_option("NAME", flags->image, "What to call the image")->required()->type_name("NEW");
    prints_table<Image>(session, command, image_columns());
    command.callback([&session, flags] { publish(session, *flags); });
}

} // namespace capsul::cli
