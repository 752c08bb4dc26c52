// The image noun over a fake systemd that really runs qemu-img and capsul-unpack.
#pragma once

#include "daemon/image_service.hpp"
#include "daemon/process.hpp"
#include "lib/fd.hpp"
#include "tests/integration/fake_launcher.hpp"
#include "tests/integration/fake_systemd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <unistd.h>

namespace capsul {

using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

inline std::string random_bytes(std::size_t length) {
    std::mt19937 random(1); // the same each run
    std::string bytes(length, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random());
    }
    return bytes;
}

inline void qemu_img(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "qemu-img");
    const ProcessResult result = run_process(arguments, 60s);
    ASSERT_EQ(result.status, 0) << result.err;
}

inline void patch(const fs::path& file, std::uint64_t offset, const std::string& bytes) {
    const UniqueFd fd = open_file(file, O_WRONLY);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
}

inline std::string slurp(const fs::path& file) {
    return read_file(file, std::size_t{1} << 30U);
}

class ImageServiceTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "capsul-image-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        base_ = name;
        paths_.data = base_ / "data";
        paths_.state = base_ / "state";
        paths_.units = base_ / "units";
        paths_.runtime = base_ / "run";
        work_ = base_ / "work";
        make_folders(paths_.data);
        make_folders(paths_.state);
        make_folders(work_);
        make_folders(paths_.units);
        make_folders(paths_.systemd_socket().parent_path());
        make_launcher(base_ / "programs");
        fs::create_symlink(CAPSUL_UNPACK, base_ / "programs/capsul-unpack");
        systemd_.emplace(
            test::FakeSystemdFolders{paths_.systemd_socket(), paths_.units, paths_.runtime, base_});
        start();
    }
    void TearDown() override {
        end();
        EXPECT_TRUE(fs::is_empty(paths_.units)) << "a unit of qemu-img is left";
        systemd_.reset();
        fs::remove_all(base_);
    }

    /// A daemon's start, and its end: what is remembered is in the files.
    void start() {
        store_.emplace(paths_);
        events_.emplace(paths_.state);
        operations_.emplace();
        client_.emplace(paths_.systemd_socket(), "capsul-vm-*.service", [](const UnitStatus&) {});
        tool_.emplace(paths_, base_ / "programs", *client_);
        service_.emplace(paths_, config_, *tool_, *store_, *operations_, *events_);
        service_->sweep();
    }
    void end() {
        operations_.reset();
        service_.reset();
        tool_.reset();
        client_.reset();
        events_.reset();
        store_.reset();
    }

    /// Sends `content` in pieces, as the server does.
    Upload send(const std::string& content, const UploadFile& call = {}) {
        const UploadResponse response = service_->upload(call);
        for (std::size_t at = 0; at < content.size(); at += mib / 16) {
            response.write(std::string_view(content).substr(at, mib / 16));
        }
        return decode<Upload>(response.finish());
    }

    Operation finished(const Operation& begun) {
        for (int round = 0; round < 6000; ++round) {
            Operation operation = operations_->show(begun.id);
            if (operation.finished()) {
                return operation;
            }
            std::this_thread::sleep_for(5ms);
        }
        throw Error(ErrorCode::timeout, "the operation does not end");
    }
    Operation run(const ImageImport& call) { return finished(service_->import(call)); }

    ImageImport call_for(const std::string& name, const std::string& disk) {
        ImageImport call;
        call.name = Name::parse(name);
        call.disk = send(disk).id;
        return call;
    }
    Image import(const std::string& name, const std::string& disk) {
        const Operation operation = run(call_for(name, disk));
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Image>(*operation.result);
    }

    Image remove(const Name& name) {
        const Operation operation = finished(service_->remove(name));
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Image>(*operation.result);
    }

    /// Every file under the daemon's data folder, with its length.
    std::map<std::string, std::uintmax_t> kept() const {
        std::map<std::string, std::uintmax_t> files;
        for (const auto& entry : fs::recursive_directory_iterator(paths_.data)) {
            if (entry.is_regular_file()) {
                files[entry.path().lexically_relative(paths_.data).string()] = entry.file_size();
            }
        }
        return files;
    }

    void expect_refused(const std::string& disk, ErrorCode code, const std::string& words) {
        const auto before = kept();
        try {
            static_cast<void>(import("hostile", disk));
            ADD_FAILURE() << "imported";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
        }
        EXPECT_EQ(kept(), before);
    }
    void expect_file_refused(const fs::path& file, ErrorCode code, const std::string& words) {
        expect_refused(slurp(file), code, words);
    }

    fs::path make_disk(const std::string& name, const std::vector<std::string>& options = {},
                       const std::string& size = "64M") {
        const fs::path file = work_ / name;
        std::vector<std::string> arguments{"create", "-q", "-f", "qcow2"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        arguments.push_back(file.string());
        arguments.push_back(size);
        qemu_img(arguments);
        return file;
    }
    /// A qcow2 with `length` bytes of data.
    fs::path make_filled_disk(const std::string& name, std::size_t length,
                              const std::vector<std::string>& options = {}) {
        const fs::path raw = work_ / (name + ".raw");
        std::ofstream(raw, std::ios::binary) << random_bytes(length);
        std::vector<std::string> arguments{"convert", "-f", "raw", "-O", "qcow2"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        arguments.push_back(raw.string());
        arguments.push_back((work_ / name).string());
        qemu_img(arguments);
        return work_ / name;
    }

    void save_vm(const std::string& name, const Image& image) {
        VmRecord record;
        record.name = Name::parse(name);
        record.uuid = Uuid::make();
        record.created = Timestamp::now();
        record.image = image.name;
        record.image_digest = *image.digest;
        record.memory = Bytes(mib);
        record.disk = Bytes(mib);
        store_->vms.save(record);
    }

    fs::path base_;
    fs::path work_;
    Paths paths_;
    ImageConfig config_;
    std::optional<Store> store_;
    std::optional<EventLog> events_;
    std::optional<OperationService> operations_;
    std::optional<test::FakeSystemd> systemd_;
    std::optional<SystemdClient> client_;
    std::optional<SandboxedTool> tool_;
    std::optional<ImageService> service_;
};

} // namespace capsul
