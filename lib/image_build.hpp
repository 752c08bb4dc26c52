// The call that builds an image from a distribution's own packages.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/debian.hpp"
#include "lib/image.hpp"
#include "lib/route.hpp"
#include "lib/url.hpp"

#include <array>
#include <optional>
#include <vector>

namespace capsul {

enum class Distro { debian };
template <>
struct EnumWords<Distro> {
    static constexpr std::array<std::pair<Distro, std::string_view>, 1> words{{{Distro::debian, "debian"}}};
};

/// How a guest of the image gets at its kernel.
enum class BootForm {
    loader, ///< a boot loader on the disk starts the kernel that is there, as the guest upgrades it
    direct, ///< QEMU loads a kernel that is beside the disk: quicker, and the guest cannot upgrade it
};
template <>
struct EnumWords<BootForm> {
    static constexpr std::array<std::pair<BootForm, std::string_view>, 2> words{
        {{BootForm::loader, "loader"}, {BootForm::direct, "direct"}}};
};

/// Builds an image on this host, from packages that the distribution has signed. It has cloud-init, an ssh
/// server, sudo, the guest agent and a login on the serial console.
struct ImageBuild {
    Name name;
    Distro distro = Distro::debian;
    DebianRelease release = DebianRelease::bookworm;
    std::vector<PackageName> include;         ///< beside what a guest needs
    std::optional<Architecture> architecture; ///< default, and all that can be built: the host's
    Bytes size{std::uint64_t{3} << 30U};      ///< of the disk; VMs may have larger ones, into which it grows
    BootForm boot = BootForm::loader;
    // apt verifies what they give by Debian's signatures, so http will do.
    Url mirror = Url::parse("http://deb.debian.org/debian");
    Url security_mirror = Url::parse("http://deb.debian.org/debian-security");
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/images/build", Answer::operation};
    static constexpr auto fields() {
        return field_list(
            required("name", &ImageBuild::name), optional("distro", &ImageBuild::distro),
            optional("release", &ImageBuild::release), optional("include", &ImageBuild::include),
            optional("architecture", &ImageBuild::architecture), optional("size", &ImageBuild::size),
            optional("boot", &ImageBuild::boot), optional("mirror", &ImageBuild::mirror),
            optional("security_mirror", &ImageBuild::security_mirror));
    }
};

} // namespace capsul
