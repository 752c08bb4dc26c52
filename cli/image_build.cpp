// image build.
#include "lib/image_build.hpp"
#include "cli/command.hpp"
#include "cli/commands.hpp"
#include "cli/image_view.hpp"
#include "cli/targets.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct BuildFlags {
    std::string name;
    std::string distro;
    std::string release;
    std::vector<std::string> include;
    std::string architecture;
    std::string size;
    std::string boot;
    std::string mirror;
    std::string security_mirror;
};

Architecture architecture(const std::string& word) {
    if (const auto found = find_architecture(word)) {
        return *found;
    }
    return parse_option<Architecture>("--arch", word); // which says what words there are
}

/// Of options that may have several names each, with commas between.
std::vector<PackageName> packages(const std::vector<std::string>& words) {
    std::vector<PackageName> names;
    for (std::string_view rest : words) {
        while (true) {
            const std::size_t end = std::min(rest.find(','), rest.size());
            names.push_back(parse_option<PackageName>("--include", std::string(rest.substr(0, end))));
            if (end == rest.size()) {
                break;
            }
            rest.remove_prefix(end + 1);
        }
    }
    return names;
}

/// Sets what was given; the rest stays as the call has it.
template <class T>
void take(T& field, const char* option, const std::string& text) {
    if (!text.empty()) {
        field = parse_option<T>(option, text);
    }
}

ImageBuild call_of(const BuildFlags& flags) {
    ImageBuild call;
    call.name = Name::parse(flags.name);
    take(call.distro, "--distro", flags.distro);
    take(call.release, "--release", flags.release);
    call.include = packages(flags.include);
    if (!flags.architecture.empty()) {
        call.architecture = architecture(flags.architecture);
    }
    take(call.size, "--size", flags.size);
    take(call.boot, "--boot", flags.boot);
    take(call.mirror, "--mirror", flags.mirror);
    take(call.security_mirror, "--security-mirror", flags.security_mirror);
    return call;
}

void build(Session& session, const BuildFlags& flags) {
    const ImageBuild call = call_of(flags);
    const std::string subject = "image " + flags.name;
    const Image image = about(subject, [&] { return session.run(call, subject); });
    session.note(fmt::format("{}: built from {} {}, whose packages were verified by signature", subject,
                             to_string(call.distro), to_string(call.release)));
    print_made<Image>(session.out(), session.output_options(), image, image_columns());
}

} // namespace

void add_image_build(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "build", "Build an image on this host from a distribution's packages, without root",
        "capsulctl image build base                       # Debian 12 with a boot loader of its own\n"
        "capsulctl image build web --include nginx,certbot --size 8G\n"
        "capsulctl image build quick --boot direct        # its kernel beside the disk: boots sooner\n"
        "capsulctl image build lab --mirror http://mirror.lan/debian --security-mirror "
        "http://mirror.lan/debian-security");
    auto flags = std::make_shared<BuildFlags>();
    command.add_option("NAME", flags->name, "What to call the image")->required()->type_name("NAME");
    add_text(command, "--distro", flags->distro, "debian", "The distribution (default: debian)");
    add_text(command, "--release", flags->release, "bookworm|trixie",
             "Which of its releases (default: bookworm)");
    add_texts(command, "--include", flags->include, "PACKAGE[,PACKAGE]...",
              "Packages beside what a guest needs");
    add_text(command, "--arch", flags->architecture, "ARCH",
             "The architecture; only the host's own can be built (default)");
    add_text(command, "--size", flags->size, "SIZE",
             "Of the disk (default: 3G); a VM's may be larger, and the guest grows into it");
    add_text(command, "--boot", flags->boot, "loader|direct",
             "A boot loader on the disk (default), or a kernel beside it that QEMU loads: quicker, but the "
             "guest cannot upgrade it");
    add_text(command, "--mirror", flags->mirror, "URL",
             "Of the packages (default: http://deb.debian.org/debian)");
    add_text(command, "--security-mirror", flags->security_mirror, "URL",
             "Of security updates (default: http://deb.debian.org/debian-security)");
    prints_table<Image>(session, command, image_columns());
    command.callback([&session, flags] { build(session, *flags); });
}

} // namespace capsul::cli
