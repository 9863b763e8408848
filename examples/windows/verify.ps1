# Prints how the service of the Kagiban exporter stands on this host, and how each thing was looked at: what the tests under Wine cannot
# show, and what is told at once with it. Run it as an administrator in Windows PowerShell 5.1 (`powershell -ExecutionPolicy Bypass -File
# verify.ps1`), after the service was installed and started. Nothing is changed, but for one event that is written to the Application
# log. Ends with the number of failures.
#Requires -Version 5.1
#Requires -RunAsAdministrator
param(
    [string]$Address = 'http://127.0.0.1:9996'
)

$name = 'kagiban-exporter'
$data = Join-Path $env:ProgramData 'kagiban'
$rows = New-Object System.Collections.ArrayList

function Test-One([string]$What, [string]$How, [scriptblock]$Check) {
    try {
        $found = & $Check
        $result = if ($found) { 'ok' } else { 'FAILED' }
    } catch {
        $found = $_.Exception.Message
        $result = 'FAILED'
    }
    $row = [pscustomobject]@{ Result = $result; What = $What; How = $How; Found = "$found" }
    [void]$rows.Add($row)
}

$key = "HKLM:\SYSTEM\CurrentControlSet\Services\$name"
Test-One 'the service runs' "Get-Service $name" { (Get-Service $name -ErrorAction Stop).Status -eq 'Running' }
Test-One 'it starts with Windows, after others' "$key, Start and DelayedAutostart" {
    $settings = Get-ItemProperty $key -ErrorAction Stop
    $settings.Start -eq 2 -and $settings.DelayedAutostart -eq 1
}
Test-One 'the path of its program is quoted' "$key, ImagePath" {
    $path = (Get-ItemProperty $key -ErrorAction Stop).ImagePath
    $path.StartsWith('"') -or -not $path.Substring(0, $path.ToLower().IndexOf('.exe')).Contains(' ')
}
Test-One 'it is started again after 5, 30 and 60 s' "sc.exe qfailure $name" {
    $text = (& sc.exe qfailure $name) -join ' '
    $text -match '\b5000\b' -and $text -match '\b30000\b' -and $text -match '\b60000\b'
}
Test-One 'an end with a code counts as a failure' "sc.exe qfailureflag $name" {
    ((& sc.exe qfailureflag $name) -join ' ') -match ':\s*(TRUE|1)'
}
Test-One 'it has a security identifier of its own' "sc.exe qsidtype $name" {
    ((& sc.exe qsidtype $name) -join ' ') -match 'UNRESTRICTED'
}
Test-One 'a shutdown tells it first' "sc.exe queryex $name (ACCEPTS_PRESHUTDOWN)" {
    ((& sc.exe queryex $name) -join ' ') -match 'ACCEPTS_PRESHUTDOWN'
}
Test-One 'a shutdown waits for it 425 s or longer' "$key, PreshutdownTimeout" {
    (Get-ItemProperty $key -ErrorAction Stop).PreshutdownTimeout -ge 425000
}
Test-One 'its port is its own' "a second socket at $Address that asks to share it (SO_REUSEADDR)" {
    $second = New-Object System.Net.Sockets.Socket 'InterNetwork', 'Stream', 'Tcp'
    try {
        $second.SetSocketOption('Socket', 'ReuseAddress', $true)
        $at = $null
        if (-not [System.Net.IPAddress]::TryParse(([uri]$Address).Host, [ref]$at)) { $at = [System.Net.IPAddress]::Loopback }
        $second.Bind((New-Object System.Net.IPEndPoint $at, ([uri]$Address).Port))
        $false
    } catch [System.Net.Sockets.SocketException] {
        $_.Exception.GetBaseException().SocketErrorCode -eq 'AccessDenied'
    } finally {
        $second.Dispose()
    }
}
Test-One 'what decides what it does is administrators'' alone' "Get-Acl of its program, its configuration and its log, and of each directory above" {
    $trusted = 'S-1-5-18', 'S-1-5-32-544', 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'
    $nobody = 'S-1-3-0', 'S-1-3-1', 'S-1-3-4'
    # Delete, delete a child, change permissions, take ownership; of the file itself and its directory, to write or add, too.
    $exchange = 0x10000 -bor 0x40 -bor 0x40000 -bor 0x80000
    $write = $exchange -bor 0x2 -bor 0x4
    $image = (Get-ItemProperty $key -ErrorAction Stop).ImagePath
    $program = if ($image.StartsWith('"')) { $image.Split('"')[1] } else { $image.Split(' ')[0] }
    $named = [regex]::Matches($image, '--(?:config\.file|web\.config\.file|log\.file) (?:"([^"]+)"|(\S+))') | ForEach-Object { $_.Groups[1].Value + $_.Groups[2].Value }
    $exposed = foreach ($file in @($program) + @($named)) {
        $depth = 0
        for ($part = $file; $part; $part = Split-Path $part -Parent) {
            $isVolume = -not (Split-Path $part -Parent)
            $rights = if ($depth -lt 2) { $write } else { $exchange }
            if ($isVolume) { $rights = $rights -band -bnot 0x10000 }
            $depth++
            if (-not (Test-Path -LiteralPath $part)) { continue }
            $acl = Get-Acl -LiteralPath $part -ErrorAction Stop
            if ($trusted -notcontains $acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value) { "$part belongs to $($acl.Owner)" }
            $acl.GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier]) | Where-Object {
                $_.AccessControlType -eq 'Allow' -and -not ($_.PropagationFlags -band 2) -and ($trusted + $nobody) -notcontains $_.IdentityReference.Value -and
                ([int]$_.FileSystemRights -band ($rights -bor 0x50000000))
            } | ForEach-Object { "$part may be changed by $($_.IdentityReference)" }
        }
    }
    if ($exposed) { throw ($exposed -join '; ') }
    $true
}
Test-One 'what service install makes belongs to Administrators and nobody by name' "Get-Acl $data\exporter.yaml" {
    $file = Join-Path $data 'exporter.yaml'
    -not (Test-Path $file) -or (Get-Acl $file).GetOwner([System.Security.Principal.SecurityIdentifier]).Value -eq 'S-1-5-32-544'
}
Test-One 'the firewall has one rule of its name, or none' 'Get-NetFirewallRule' {
    @(Get-NetFirewallRule -DisplayName 'Kagiban exporter' -ErrorAction SilentlyContinue).Count -le 1
}
Test-One 'the source of events writes and its text is read' "Write-EventLog, Get-WinEvent" {
    $mark = "verify.ps1 $(Get-Random)"
    Write-EventLog -LogName Application -Source $name -EventId 2 -EntryType Warning -Message $mark -ErrorAction Stop
    $filter = @{ LogName = 'Application'; ProviderName = $name; Id = 2 }
    $read = Get-WinEvent -FilterHashtable $filter -MaxEvents 20 -ErrorAction Stop
    @($read | Where-Object { $_.Message -match [regex]::Escape($mark) }).Count -gt 0
}
Test-One 'a battery that Windows sees is one that the exporter sees' 'Win32_Battery, ups_up{backend="windows_power"}' {
    $page = (Invoke-WebRequest -UseBasicParsing "$Address/metrics").Content
    $asked = $page -match '(?m)^ups_up\{[^}]*backend="windows_power"[^}]*\} (\d)'
    if (-not $asked) { return 'no windowsPower is configured' }
    $heard = $Matches[1] -eq '1'
    $heard -eq (@(Get-CimInstance Win32_Battery).Count -gt 0)
}
$agent = 'HKLM:\SYSTEM\CurrentControlSet\Services\EventLog\Application\APCPBEAgent'
Test-One 'the question for PowerChute''s events is one that the Application log takes' 'Get-WinEvent -FilterXPath' {
    $newest = Get-WinEvent -LogName Application -MaxEvents 1 -ErrorAction Stop
    $id = $newest.RecordId
    $agents = "Provider[@Name='APCPBEAgent'] and ((EventID>=1000 and EventID<=1003) or EventID=1006 or EventID=1016 or (EventID>=1025 and EventID<=1027) or EventID=1053 or EventID=2000 or EventID=2003 or EventID=2060 or EventID=3000 or EventID=3004 or EventID=3005 or EventID=3030)"
    $read = @(Get-WinEvent -LogName Application -FilterXPath "*[System[($agents and EventRecordID>$id) or EventRecordID=$id]]" -ErrorAction Stop)
    $read[-1].RecordId -eq $id -and $read[-1].TimeCreated -eq $newest.TimeCreated
}
Test-One 'where PowerChute writes to the Application log, that is read' "$Address/metrics" {
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    if ($page -notmatch 'kagiban_source_up\{source_kind="host",source_name="Application/APCPBEAgent"\} (\d)') {
        return 'not read here: no agent is configured or found, or shutdown.windowsEventLog is false'
    }
    $Matches[1] -eq '1'
}
Test-One 'nobody but administrators enters its directory' "Get-Acl $data" {
    $administrators = 'S-1-5-18', 'S-1-5-32-544'
    $allowed = $administrators + 'S-1-3-0', 'S-1-3-4'
    $acl = Get-Acl $data -ErrorAction Stop
    if ($administrators -notcontains $acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value) { throw "its owner is $($acl.Owner)" }
    $rules = $acl.GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    $rules = @($rules | Where-Object { $_.AccessControlType -eq 'Allow' })
    $rules.Count -gt 0 -and @($rules | Where-Object { $allowed -notcontains $_.IdentityReference.Value }).Count -eq 0
}
Test-One 'it has written its log' "Get-Item $data\logs\$name.log" {
    (Get-Item (Join-Path $data "logs\$name.log") -ErrorAction Stop).Length -gt 0
}
Test-One 'the service listens at its port' "Get-NetTCPConnection, Win32_Service" {
    $process = (Get-CimInstance Win32_Service -Filter "Name='$name'" -ErrorAction Stop).ProcessId
    $sockets = Get-NetTCPConnection -State Listen -LocalPort ([uri]$Address).Port -ErrorAction Stop
    @($sockets | Where-Object { $_.OwningProcess -ne $process }).Count -eq 0
}
Test-One 'the metrics have what a service tells' "$Address/metrics" {
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    $page -match 'kagiban_build_info' -and $page -match 'host_shutdown_state\{state="none"\} 1'
}
Test-One 'pending reboots are told as the registry has them' "HKLM, $Address/metrics (host_reboot_pending)" {
    $current = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    $manager = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' -ErrorAction Stop
    $pending = [ordered]@{
        component_servicing = Test-Path "$current\Component Based Servicing\RebootPending"
        file_rename = @($manager.PendingFileRenameOperations | Where-Object { $_ }).Count -gt 0
        windows_update = Test-Path "$current\WindowsUpdate\Auto Update\RebootRequired"
    }
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    $wrong = @($pending.Keys | Where-Object { $page -notmatch "host_reboot_pending\{reason=`"$_`"\} $([int]$pending[$_])\b" })
    if ($wrong.Count -gt 0) { throw "not as the registry has it: $($wrong -join ', ')" }
    $true
}

$rows | Format-Table -AutoSize -Wrap
$failures = @($rows | Where-Object { $_.Result -ne 'ok' }).Count
"$($rows.Count) looked at, $failures failed"
exit $failures
